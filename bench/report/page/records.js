// The record behind a number: key, command, environment, the method's file, and the score of each image.

const recordDialog = document.getElementById("record");

function facts(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) {
    if (value !== "" && value != null) list.append(make("dt", {}, name), make("dd", {}, value));
  }
  return list;
}

function code(text) {
  const button = make("button", { type: "button", class: "quiet" }, "copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text)) ? "copied" : "select and copy";
  });
  return make("div", { class: "code" }, make("pre", { tabindex: 0 }, text), button);
}

function folded(title, ...children) {
  return make("details", {}, make("summary", {}, title), ...children);
}

function plainTable(columns, rows) {
  const head = make("tr", {}, ...columns.map((name, i) => make("th",
    { scope: "col", class: rows.length && typeof rows[0][i] === "number" ? "number" : false }, String(name))));
  const body = rows.map((row) => make("tr", {}, ...row.map((value) =>
    make("td", typeof value === "number" ? { class: "number" } : {}, shownValue(value)))));
  const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  return make("div", { class: "scroll", tabindex: 0 }, table);
}

function shownValue(value) {
  if (value == null) return "inf";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(+value.toPrecision(6));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function imagesOf(record) {
  const places = [];
  data.scenes.forEach((scene, number) => scene.panels.forEach((panel) => {
    if (panel.key !== record.key) return;
    places.push(make("li", {}, make("a", { href: address({ image: scene.id, method: panel.name }) },
      `${scene.image}: ${panel.name}`), ` ${scene.reasons[0] || ""}`));
  }));
  return places;
}

function described(record) {
  const images = imagesOf(record);
  const parts = [
    make("h2", {}, record.title),
    facts([
      ["state", record.reason ? `${record.state}: ${record.reason}` : record.state],
      ["key", make("code", {}, record.key)],
      ["stores", record.stores.join(", ")],
      ["record", make("code", {}, record.file)],
      ["method", record.method_file ? make("code", {}, record.method_file) : record.method],
    ]),
    make("h3", {}, "Command"), code(record.command || "not recorded"),
  ];
  const source = data.sources[record.method_file];
  if (source) parts.push(folded(`The method's file: ${record.method_file}`, make("pre", { tabindex: 0 }, source)));
  if (record.outputs.length) {
    parts.push(make("h3", {}, "Means"), plainTable(record.outputs[0], record.outputs.slice(1)));
  }
  if (record.rows) parts.push(folded(`Score of each image (${record.rows.values.length})`,
    plainTable(record.rows.columns, record.rows.values)));
  parts.push(make("h3", {}, "Images"), images.length ? make("ul", {}, ...images)
    : make("p", { class: "faint" }, record.kind === "fit" ? "A training has none; its scores have." :
      "None on this page: see how its parts were chosen, and what was left out."));
  if (record.warnings.length) parts.push(make("h3", {}, "Warnings"),
    make("ul", {}, ...record.warnings.map((text) => make("li", {}, text))));
  parts.push(make("h3", {}, "Environment"), facts(Object.entries(record.environment).map(
    ([name, value]) => [name, shownValue(value)])));
  parts.push(folded("What determines its numbers", make("pre", { tabindex: 0 },
    JSON.stringify(record.identity, null, 1))));
  if (record.fit && data.records[record.fit]) parts.push(make("p", {}, "Trained as ",
    make("a", { href: `#record=${record.fit}` }, data.records[record.fit].title)));
  return parts;
}

/** Opens the records of some keys, each under the other; keys that are not here are named. */
function showRecords(keys) {
  const close = make("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  close.addEventListener("click", () => recordDialog.close());
  const found = keys.flatMap((key) => (data.records[key] ? described(data.records[key])
    : [make("p", {}, `No record ${key} on this page.`)]));
  recordDialog.replaceChildren(close, ...found);
  if (!recordDialog.open) recordDialog.showModal();
  recordDialog.scrollTop = 0;
}

function startRecords() {
  recordDialog.addEventListener("click", (event) => {
    if (event.target === recordDialog) recordDialog.close();
  });
  recordDialog.addEventListener("close", () => {
    if (new URLSearchParams(location.hash.slice(1)).has("record")) remember("#tables");
  });
}
