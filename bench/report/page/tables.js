// Tables: sorted by any column, filtered, copied.

const tables = [...document.querySelectorAll("table")];

function key(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  return cell.textContent.trim();
}

/** Numbers before texts, empty cells last in both directions. */
function compare(a, b, direction) {
  const empty = (value) => value === "";
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  const numbers = typeof a === "number" && typeof b === "number";
  if (!numbers && typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return direction * (numbers ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
}

function sortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button" }, heading.textContent.trim());
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const numeric = heading.classList.contains("number");
      const now = heading.getAttribute("aria-sort");
      const down = now ? now === "ascending" : numeric;
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [key(row, column), row]);
      rows.sort((a, b) => compare(a[0], b[0], down ? -1 : 1));
      body.classList.add("sorted");
      body.append(...rows.map((pair) => pair[1]));
    });
  });
}

const escapes = {
  latex: (text) => text.replace(/[\\{}$&#%_^~±]/g, (c) => ({
    "\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "±": "$\\pm$",
  })[c] || `\\${c}`),
  markdown: (text) => text.replace(/</g, "&lt;").replace(/[|`\\]/g, "\\$&").replace(/\]\(/g, "]\\("),
  csv: (text) => {
    const formula = /^\s*[=+\-@]/.test(text) && !/^[+-]?[\d.,]+([±/][+-]?[\d.,]+)*$/.test(text) && text !== "- / -";
    const safe = formula ? `'${text}` : text;
    return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  },
};

function marked(cell, format) {
  const text = escapes[format](cell.textContent.trim());
  const best = cell.querySelector("strong, .best"), second = cell.querySelector("u, .second");
  if (format === "latex") return best ? `\\textbf{${text}}` : second ? `\\underline{${text}}` : text;
  if (format === "markdown") return best ? `**${text}**` : second ? `_${text}_` : text;
  return text;
}

const seen = (row) => [...row.cells].filter((cell) => !cell.hidden);

/** The rows and columns that are shown, in their order. */
function written(table, format) {
  const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const headings = seen(table.tHead.rows[0]).map((cell) => escapes[format](cell.textContent.trim()));
  const cells = rows.map((row) => seen(row).map((cell) => marked(cell, format)));
  if (format === "csv") return [headings, ...cells].map((row) => row.join(",")).join("\n");
  if (format === "markdown") {
    return [headings, headings.map(() => "---"), ...cells].map((row) => `| ${row.join(" | ")} |`).join("\n");
  }
  const aligned = seen(table.tHead.rows[0]).map((cell) => (cell.classList.contains("number") ? "r" : "l"));
  const body = cells.map((row) => `${row.join(" & ")} \\\\`);
  return [`\\begin{tabular}{${aligned.join("")}}`, "\\toprule", `${headings.join(" & ")} \\\\`, "\\midrule", ...body,
    "\\bottomrule", "\\end{tabular}"].join("\n");
}

/** Whether the text is in the clipboard now. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { class: "outside" });
    area.value = text;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function copyable(figure) {
  const line = figure.querySelector(".copy");
  line.hidden = false;
  for (const button of line.querySelectorAll("button")) {
    button.addEventListener("click", async () => {
      const text = written(figure.querySelector("table"), button.dataset.copy);
      line.querySelector("output").textContent = (await copied(text)) ? "copied" : "the browser refused";
      document.documentElement.dataset.copied = text;
    });
  }
}

/** Columns that have nothing in the rows shown, such as the paper's where it printed none. */
function hideEmptyColumns(table) {
  const rows = [...table.tBodies[0].rows];
  const shown = rows.filter((row) => !row.hidden);
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const empty = shown.every((row) => !row.cells[column].textContent.trim());
    if (heading.hidden !== empty) for (const row of [table.tHead.rows[0], ...rows]) row.cells[column].hidden = empty;
  });
}

/** Hides what the filters exclude; scenes of other noises and sets, too. */
function filter() {
  const wanted = [...document.querySelectorAll("[data-filter]")].map((one) => [one.dataset.filter, one.value]);
  const unmeasured = document.getElementById("unmeasured");
  const matches = (element) =>
    wanted.every(([name, value]) => !value || element.dataset[name] === undefined || element.dataset[name] === value);
  let shown = 0, total = 0;
  for (const table of tables) {
    let here = 0;
    for (const row of table.tBodies[0].rows) {
      const measured = !unmeasured || unmeasured.checked || row.dataset.measured !== "no";
      row.hidden = !(matches(row) && measured);
      here += !row.hidden;
      total++;
    }
    shown += here;
    if (here) hideEmptyColumns(table);
    table.closest("figure").hidden = here === 0 && table.tBodies[0].rows.length > 0;
  }
  for (const scene of document.querySelectorAll(".scene")) scene.hidden = !matches(scene);
  const counted = document.getElementById("counted");
  if (counted) counted.textContent = `${shown} of ${total} rows`;
}

function startTables() {
  tables.forEach(sortable);
  document.querySelectorAll(".sheet").forEach(copyable);
  const form = document.getElementById("filters");
  if (!form) return;
  form.hidden = false;
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}
