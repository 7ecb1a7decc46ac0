// What begins when the page is open, and what addresses after # mean.

function goTo() {
  const words = new URLSearchParams(location.hash.slice(1));
  if (words.get("record")) {
    showRecords(words.get("record").split(","));
  } else if (words.get("image") && parts) {
    if (recordDialog.open) recordDialog.close();
    if (follow(words)) document.getElementById("viewer").scrollIntoView({ block: "start" });
  }
}

startTables();
startRecords();
startViewer();
startPlots();
for (const button of document.querySelectorAll("[data-do=help]")) {
  button.hidden = false;
  button.addEventListener("click", showHelp);
}
document.addEventListener("keydown", pressed);
window.addEventListener("hashchange", goTo);
goTo();
