// The viewer: panels of one scene, all at the same place and zoom, flipped by keys.

const KEYS = [
  ["1 – 9", "the methods; with Shift the 10th to 18th"],
  ["0", "the noisy image"],
  ["c", "the clean image"],
  ["x", "back to the image shown before"],
  [", .", "the image before, the next image"],
  ["p n", "the part before, the next part"],
  ["i d r", "images; differences from the clean image; residuals (noisy image less output)"],
  ["[ ]", "a narrower, a wider scale of differences and residuals"],
  ["e E", "more, less exposure"],
  ["g G", "more, less gamma"],
  ["f s a", "flip in place; slider between two images; all side by side"],
  ["< >", "the slider to the left, to the right"],
  ["arrows", "move, when the viewer has the focus"],
  ["+ −", "zoom, up to 32 times; also by wheel or two fingers"],
  ["z", "place, zoom, exposure and gamma as at the start"],
  ["?", "this list"],
];
const CLOSEST = 32; // screen pixels per image pixel
const REACH = 8; // lags of the autocorrelation, in pixels
const AROUND = 7; // local PSNR: a square of 2 * 7 + 1 pixels
const CORRELATION = 0.25; // the end of the autocorrelation's scale
const MODES = { image: "Images", difference: "Difference", residual: "Residual" };
const LAYOUTS = { flip: "Flip", slider: "Slider", all: "All" };

const view = {
  scene: 0, panel: 0, other: 0, mode: "image", layout: "flip", zoom: 1, x: 0, y: 0, exposure: 0, gamma: 1, scale: 0,
  split: 0.5, probe: null,
};
let parts = null; // the viewer's elements
let drawnPanels = new Map(); // what was drawn of the scene: panel, mode and settings -> canvas
let loaded = []; // the values of the scene's panels
let readyScene = -1;
let pending = 0;

const sceneNow = () => data.scenes[view.scene];
const indexOf = (role) => sceneNow().panels.findIndex((panel) => panel.role === role);
const outputsOf = (scene) => scene.panels.map((panel, i) => (panel.role === "output" ? i : -1)).filter((i) => i >= 0);

/** The part of an address after #. */
function address(values) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) words.set(name, value);
  return `#${words.toString()}`;
}

function remember(hash) {
  try {
    history.replaceState(null, "", hash);
  } catch {
    // where addresses cannot be changed, such as in a frame
  }
}

function rememberView() {
  clearTimeout(pending);
  pending = setTimeout(() => remember(here()), 250);
}

/** The address of what is shown now. */
function here() {
  const scene = sceneNow();
  const values = { image: scene.id, method: scene.panels[view.panel].name, zoom: +view.zoom.toFixed(3),
    x: Math.round(scene.left + view.x), y: Math.round(scene.top + view.y) };
  if (view.mode !== "image") values.mode = view.mode;
  if (view.layout !== "flip") values.layout = view.layout;
  if (view.layout === "slider") values.other = scene.panels[view.other].name;
  if (view.exposure) values.exposure = view.exposure;
  if (view.gamma !== 1) values.gamma = view.gamma;
  return address(values);
}

/** Shows what an address names; what it does not name stays, or is as at the start of a scene. */
function follow(words) {
  const number = data.scenes.findIndex((scene) => scene.id === words.get("image"));
  if (number < 0) return false;
  const named = (name) => data.scenes[number].panels.findIndex((panel) => panel.name === words.get(name));
  const value = (name, low, high) => {
    const found = Number(words.get(name));
    return words.has(name) && Number.isFinite(found) ? Math.max(low, Math.min(high, found)) : null;
  };
  if (MODES[words.get("mode") || "image"]) view.mode = words.get("mode") || "image";
  if (LAYOUTS[words.get("layout") || "flip"]) view.layout = words.get("layout") || "flip";
  view.exposure = value("exposure", -8, 8) ?? 0;
  view.gamma = value("gamma", 0.25, 4) ?? 1;
  const scene = data.scenes[number];
  const place = { zoom: value("zoom", 0.25, CLOSEST), x: value("x", -1e6, 1e6), y: value("y", -1e6, 1e6) };
  openScene(number, Math.max(0, named("method")));
  if (named("other") >= 0) view.other = named("other");
  if (place.zoom) view.zoom = place.zoom;
  if (place.x !== null) view.x = place.x - scene.left;
  if (place.y !== null) view.y = place.y - scene.top;
  redraw();
  return true;
}

// ---- what is shown

/** Another scene, from its middle. */
function openScene(number, panel) {
  const scene = data.scenes[number];
  view.scene = number;
  view.panel = panel ?? Math.min(view.panel, scene.panels.length - 1);
  const outputs = outputsOf(scene);
  view.other = scene.panels[view.panel].role === "noisy" ? outputs[0] ?? 0 : 0;
  view.probe = null;
  drawnPanels = new Map();
  readyScene = -1;
  view.scale = scaleOf(scene);
  buildPanels();
  fit();
  loadScene(number);
}

/** Where differences are fully coloured at first: an eighth of the range, for all methods and both maps. */
function scaleOf(scene) {
  return (scene.high - scene.low) / 8;
}

async function loadScene(number) {
  const found = await Promise.all(data.scenes[number].panels.map((_, panel) => pixels(number, panel)));
  if (view.scene !== number) return;
  loaded = found;
  readyScene = number;
  redraw();
}

function fit() {
  const scene = sceneNow();
  const box = parts.stage.getBoundingClientRect();
  const { columns, high } = view.layout === "all" ? grid(box.width) : { columns: 1, high: box.height };
  const whole = Math.min(box.width / columns / scene.width, high / scene.height);
  const sharp = whole < 1 ? whole : whole < 3 ? Math.floor(2 * whole) / 2 : Math.floor(whole); // pixels of one size
  view.zoom = Math.max(0.25, Math.min(CLOSEST, sharp));
  view.x = scene.width / 2;
  view.y = scene.height / 2;
}

/** Columns of panels side by side, as large as all can be seen at once; and the height of a panel. */
function grid(width) {
  const { width: wide, height: tall, panels } = sceneNow();
  const room = Math.max(360, window.innerHeight - 120);
  let best = { columns: 1, zoom: 0 };
  for (let columns = 1; columns <= panels.length; columns++) {
    const rows = Math.ceil(panels.length / columns);
    const zoom = Math.min(width / columns / wide, (room / rows - 30) / tall);
    if (zoom > best.zoom) best = { columns, zoom };
  }
  if (best.zoom < 0.75) { // too many for one look
    const columns = Math.min(panels.length, Math.max(2, Math.floor(width / Math.max(160, Math.min(320, wide)))));
    best = { columns, zoom: width / columns / wide };
  }
  return { columns: best.columns, high: Math.max(60, Math.floor(best.zoom * tall)) };
}

function mapOf(panel) {
  const reference = view.mode === "difference" ? indexOf("clean") : indexOf("noisy");
  if (reference < 0) return null;
  return view.mode === "difference" ? signed(loaded[panel], loaded[reference]) : signed(loaded[reference], loaded[panel]);
}

/** What is shown of a panel at its own size, drawn once for the same settings. */
function picture(panel) {
  const key = [panel, view.mode, view.exposure, view.gamma, view.scale].join();
  if (!drawnPanels.has(key)) {
    const image = loaded[panel];
    const map = view.mode === "image" ? null : mapOf(panel);
    drawnPanels.set(key, map ? drawMap(image.width, image.height, map, view.scale)
      : drawImage(image, sceneNow(), view.exposure, view.gamma));
    if (drawnPanels.size > 60) drawnPanels.delete(drawnPanels.keys().next().value);
  }
  return drawnPanels.get(key);
}

function panelsShown() {
  return view.layout === "all" ? sceneNow().panels.map((_, i) => i) : [view.panel];
}

function draw(canvas, panel, from, to) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
  if (from === 0 && (canvas.width !== width || canvas.height !== height)) {
    canvas.width = width;
    canvas.height = height;
  }
  const on = canvas.getContext("2d");
  if (from === 0) on.clearRect(0, 0, width, height);
  on.save();
  on.beginPath();
  on.rect(from * width, 0, (to - from) * width, height);
  on.clip();
  on.imageSmoothingEnabled = view.zoom < 1;
  const zoom = view.zoom * ratio;
  const shown = picture(panel);
  on.drawImage(shown, Math.round(width / 2 - view.x * zoom), Math.round(height / 2 - view.y * zoom),
    shown.width * zoom, shown.height * zoom);
  on.restore();
}

function cross(canvas) {
  if (!view.probe) return;
  const ratio = window.devicePixelRatio || 1;
  const on = canvas.getContext("2d");
  const size = view.zoom * ratio;
  const left = Math.round(canvas.width / 2 + (view.probe.x - view.x) * size);
  const top = Math.round(canvas.height / 2 + (view.probe.y - view.y) * size);
  for (const [colour, width] of [["#000", 3], ["#fff", 1]]) {
    on.strokeStyle = colour;
    on.lineWidth = width * ratio;
    on.strokeRect(left - 0.5, top - 0.5, Math.max(4, size) + 1, Math.max(4, size) + 1);
  }
}

function redraw() {
  if (!parts) return;
  const scene = sceneNow();
  for (const [button, pressed] of buttonsPressed()) button.setAttribute("aria-pressed", String(pressed));
  parts.scenes.value = String(view.scene);
  parts.exposure.value = view.exposure;
  parts.gamma.value = view.gamma;
  parts.exposureText.textContent = `${view.exposure >= 0 ? "+" : "−"}${Math.abs(view.exposure).toFixed(2)} EV`;
  parts.gammaText.textContent = view.gamma.toFixed(2);
  parts.zoomText.textContent = `${+view.zoom.toFixed(2)}×`;
  parts.handle.hidden = view.layout !== "slider";
  parts.handle.style.left = `${100 * view.split}%`;
  parts.modes.difference.disabled = indexOf("clean") < 0;
  if (view.mode === "difference" && indexOf("clean") < 0) view.mode = "residual";
  if (readyScene !== view.scene) return;
  const canvases = [...parts.stage.querySelectorAll("canvas")];
  const shown = panelsShown();
  canvases.forEach((canvas, i) => {
    const slider = view.layout === "slider";
    canvas.parentElement.classList.toggle("current", shown[i] === view.panel);
    draw(canvas, slider ? view.other : shown[i], 0, slider ? view.split : 1);
    if (slider) draw(canvas, view.panel, view.split, 1);
    cross(canvas);
  });
  parts.scale.hidden = view.mode === "image";
  parts.scaleText.textContent = `±${+(view.scale * scene.factor).toPrecision(3)}`;
  tell();
  correlate();
  rememberView();
}

function buttonsPressed() {
  const found = [...parts.methods.querySelectorAll("button")].map((button, i) => [button, i === view.panel]);
  for (const [name, button] of Object.entries(parts.modes)) found.push([button, name === view.mode]);
  for (const [name, button] of Object.entries(parts.layouts)) found.push([button, name === view.layout]);
  return found;
}

/** Values and local PSNR under the pointer, or in the middle of what is seen. */
function tell() {
  const scene = sceneNow();
  const place = view.probe || { x: Math.floor(view.x), y: Math.floor(view.y) };
  const { x, y } = place;
  parts.values.replaceChildren();
  if (x < 0 || y < 0 || x >= loaded[0].width || y >= loaded[0].height) return;
  const clean = indexOf("clean");
  const value = (panel) => [0, 1, 2].map((c) => loaded[panel].values[(y * loaded[0].width + x) * 3 + c] * scene.factor);
  const written = (numbers) => {
    const same = numbers.every((one) => Math.abs(one - numbers[0]) < 1e-9);
    return (same ? numbers.slice(0, 1) : numbers).map((one) => +one.toPrecision(4)).join(" ");
  };
  const row = (name, text) => parts.values.append(make("dt", {}, name), make("dd", {}, text));
  row("row, column", `${scene.top + y}, ${scene.left + x}${view.probe ? "" : " (middle)"}`);
  const asked = view.layout === "slider" ? [view.other, view.panel] : [view.panel];
  for (const panel of [...new Set([Math.max(0, indexOf("noisy")), ...asked, ...(clean < 0 ? [] : [clean])])]) {
    row(scene.panels[panel].name, written(value(panel)));
  }
  if (clean >= 0) {
    for (const panel of asked.filter((one) => one !== clean)) {
      const psnr = localPsnr(loaded[panel], loaded[clean], x, y, scene.high - scene.low, AROUND);
      row(asked.length > 1 ? `local PSNR, ${scene.panels[panel].name}` : "local PSNR", `${psnr.toFixed(2)} dB`);
    }
  }
}

let correlated = "";

/** The autocorrelation of the residual of the panel that is shown. */
function correlate() {
  const noisy = indexOf("noisy");
  const key = `${view.scene}/${view.panel}`;
  parts.correlation.hidden = noisy < 0 || view.panel === noisy;
  if (key === correlated || parts.correlation.hidden) return;
  correlated = key;
  const { width, height } = loaded[0];
  const found = autocorrelation(signed(loaded[noisy], loaded[view.panel]), width, height, REACH);
  const side = 2 * REACH + 1;
  const canvas = parts.correlation.querySelector("canvas");
  canvas.getContext("2d").drawImage(drawMap(side, side, found, CORRELATION), 0, 0);
  let largest = -1;
  found.forEach((value, i) => {
    if (i !== (found.length - 1) / 2 && (largest < 0 || Math.abs(value) > Math.abs(found[largest]))) largest = i;
  });
  const lag = [Math.floor(largest / side) - REACH, (largest % side) - REACH];
  parts.correlation.querySelector("output").textContent =
    `largest beside the middle: ${found[largest].toFixed(3)} at row ${lag[0]}, column ${lag[1]}`;
}

// ---- what is asked for

function show(panel) {
  if (panel < 0 || panel >= sceneNow().panels.length || panel === view.panel) return;
  view.other = view.panel;
  view.panel = panel;
  redraw();
}

function change(values) {
  const layout = view.layout;
  Object.assign(view, values);
  if (view.layout !== layout) {
    buildPanels();
    fit();
  }
  redraw();
}

function nearer(factor, at) {
  const before = view.zoom;
  view.zoom = Math.max(0.25, Math.min(CLOSEST, before * factor));
  if (Math.abs(view.zoom - Math.round(view.zoom)) < 0.02) view.zoom = Math.round(view.zoom);
  if (at) { // what is under the pointer stays there
    view.x += at.x * (1 / before - 1 / view.zoom);
    view.y += at.y * (1 / before - 1 / view.zoom);
  }
  inside();
  redraw();
}

function move(x, y) {
  view.x += x;
  view.y += y;
  inside();
  redraw();
}

/** The middle of what is seen stays on the image. */
function inside() {
  const scene = sceneNow();
  view.x = Math.max(0, Math.min(scene.width, view.x));
  view.y = Math.max(0, Math.min(scene.height, view.y));
}

function step(direction) {
  const count = data.scenes.length;
  const hidden = (i) => document.querySelector(`[data-scene="${i}"]`).hidden;
  let next = view.scene;
  do next = (next + direction + count) % count; while (hidden(next) && next !== view.scene);
  const name = sceneNow().panels[view.panel].name;
  openScene(next, Math.max(0, data.scenes[next].panels.findIndex((panel) => panel.name === name)));
  redraw();
}

const stepped = (value, by, low, high) => Math.max(low, Math.min(high, +(value + by).toFixed(2)));
const ACTIONS = {
  0: () => show(indexOf("noisy")),
  c: () => show(indexOf("clean")),
  x: () => show(view.other),
  ",": () => show((view.panel + sceneNow().panels.length - 1) % sceneNow().panels.length),
  ".": () => show((view.panel + 1) % sceneNow().panels.length),
  n: () => step(1),
  p: () => step(-1),
  i: () => change({ mode: "image" }),
  d: () => change({ mode: indexOf("clean") < 0 ? "residual" : "difference" }),
  r: () => change({ mode: "residual" }),
  "[": () => change({ scale: view.scale / 1.25 }),
  "]": () => change({ scale: view.scale * 1.25 }),
  e: () => change({ exposure: stepped(view.exposure, 0.25, -8, 8) }),
  E: () => change({ exposure: stepped(view.exposure, -0.25, -8, 8) }),
  g: () => change({ gamma: stepped(view.gamma, 0.1, 0.25, 4) }),
  G: () => change({ gamma: stepped(view.gamma, -0.1, 0.25, 4) }),
  f: () => change({ layout: "flip" }),
  s: () => change({ layout: "slider" }),
  a: () => change({ layout: "all" }),
  "<": () => change({ split: Math.max(0, view.split - 0.05) }),
  ">": () => change({ split: Math.min(1, view.split + 0.05) }),
  "+": () => nearer(1.25),
  "=": () => nearer(1.25),
  "-": () => nearer(0.8),
  z: () => {
    Object.assign(view, { exposure: 0, gamma: 1, scale: scaleOf(sceneNow()), split: 0.5, probe: null });
    fit();
    redraw();
  },
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox") return;
  const digit = /^Digit([1-9])$/.exec(event.code);
  if (event.key === "?") showHelp();
  else if (!parts) return;
  else if (digit && (event.shiftKey || /^[1-9]$/.test(event.key))) {
    show(outputsOf(sceneNow())[Number(digit[1]) - 1 + 9 * event.shiftKey] ?? -1);
  } else if (/^[1-9]$/.test(event.key)) show(outputsOf(sceneNow())[Number(event.key) - 1] ?? -1);
  else if (ACTIONS[event.key]) ACTIONS[event.key]();
  else if (ARROWS[event.key] && parts.stage.contains(document.activeElement)) {
    move(...ARROWS[event.key].map((one) => (one * 32) / view.zoom));
  } else return;
  event.preventDefault();
}

function showHelp() {
  const dialog = document.getElementById("help");
  const list = make("dl");
  for (const [keys, text] of KEYS) {
    list.append(make("dt", {}, ...keys.split(" ").map((one) => (one === "–" ? " – " : make("kbd", {}, one)))),
      make("dd", {}, text));
  }
  const close = make("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  close.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(close, make("h2", {}, "Keys"), list);
  if (!dialog.open) dialog.showModal();
}

// ---- pointers

const pointers = new Map();

function probed(event) {
  const canvas = event.target.closest("canvas");
  if (!canvas) return null;
  const box = canvas.getBoundingClientRect();
  return { x: Math.floor(view.x + (event.clientX - box.left - box.width / 2) / view.zoom),
    y: Math.floor(view.y + (event.clientY - box.top - box.height / 2) / view.zoom) };
}

function fromMiddle(event) {
  const box = (event.target.closest("canvas") || parts.stage).getBoundingClientRect();
  return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
}

function spread() {
  const [a, b] = [...pointers.values()];
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}

function moved(event) {
  const before = pointers.get(event.pointerId);
  if (!before) {
    view.probe = probed(event);
    if (readyScene === view.scene) redraw();
    return;
  }
  if (parts.sliding === event.pointerId) {
    const box = parts.stage.getBoundingClientRect();
    change({ split: Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) });
  } else if (pointers.size === 2) {
    const was = spread();
    pointers.set(event.pointerId, event);
    if (was > 0) nearer(spread() / was);
    return;
  } else {
    move((before.clientX - event.clientX) / view.zoom, (before.clientY - event.clientY) / view.zoom);
  }
  pointers.set(event.pointerId, event);
}

function listen(stage) {
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    nearer(Math.exp(-Math.sign(event.deltaY) * 0.25), fromMiddle(event));
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    pointers.set(event.pointerId, event);
    parts.sliding = event.target === parts.handle ? event.pointerId : null;
    stage.setPointerCapture(event.pointerId);
    view.probe = probed(event);
    stage.focus({ preventScroll: true });
    const panel = [...stage.querySelectorAll("canvas")].indexOf(event.target);
    if (view.layout === "all" && panel >= 0) show(panel);
    else redraw();
  });
  stage.addEventListener("pointermove", moved);
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  stage.addEventListener("pointerleave", () => {
    if (pointers.size) return;
    view.probe = null;
    redraw();
  });
}

// ---- the elements

function toggles(names, name) {
  const found = {};
  for (const [value, text] of Object.entries(names)) {
    found[value] = make("button", { type: "button", onclick: () => change({ [name]: value }) }, text);
  }
  return found;
}

function slider(name, low, high, by) {
  const text = make("output");
  const input = make("input", { type: "range", min: low, max: high, step: by, "aria-label": name });
  input.addEventListener("input", () => change({ [name]: Number(input.value) }));
  return [input, text];
}

/** The canvases of a layout, and the buttons of the scene's panels. */
function buildPanels() {
  const scene = sceneNow();
  const stage = parts.stage;
  stage.className = `stage ${view.layout}`;
  const { width } = stage.getBoundingClientRect();
  const { columns, high } = grid(width);
  stage.style.setProperty("--columns", columns);
  stage.style.setProperty("--high", `${high}px`);
  const cells = panelsShown().map((panel) => make("figure", {}, make("canvas"),
    view.layout === "all" ? make("figcaption", {}, scene.panels[panel].name) : null));
  stage.replaceChildren(...cells, parts.handle);
  let number = 0;
  parts.methods.replaceChildren(...scene.panels.map((panel, i) => {
    if (panel.role === "output") number++;
    const hint = { noisy: "0", clean: "c" }[panel.role] || (number <= 9 ? String(number) : number <= 18 ? `⇧${number - 9}` : "");
    return make("li", {}, make("button", { type: "button", onclick: () => show(i) },
      make("kbd", {}, hint), make("span", {}, panel.name), make("small", {}, panel.note)),
    panel.key ? make("a", { href: `#record=${panel.key}`, "aria-label": `Record of ${panel.name}` }, "record") : null);
  }));
  parts.reasons.replaceChildren(...scene.reasons.map((text) => make("p", {}, text)));
}

function startViewer() {
  const root = document.getElementById("viewer");
  if (!root) return;
  root.hidden = false;
  const stage = make("div", { class: "stage flip", tabindex: 0, role: "group",
    "aria-label": "Images; keys: ? lists them" });
  const [exposure, exposureText] = slider("exposure", -8, 8, 0.25);
  const [gamma, gammaText] = slider("gamma", 0.25, 4, 0.05);
  const scenes = make("select", { "aria-label": "Part" });
  const groups = new Map();
  data.scenes.forEach((scene, i) => {
    if (!groups.has(scene.group)) groups.set(scene.group, make("optgroup", { label: scene.group }));
    groups.get(scene.group).append(make("option", { value: i }, `${scene.image}, row ${scene.top}, column ${scene.left}`));
  });
  scenes.append(...groups.values());
  scenes.addEventListener("change", () => { openScene(Number(scenes.value)); redraw(); });
  const button = (text, label, action) => make("button", { type: "button", "aria-label": label, onclick: action }, text);
  parts = {
    stage, scenes, exposure, exposureText, gamma, gammaText, sliding: null,
    modes: toggles(MODES, "mode"), layouts: toggles(LAYOUTS, "layout"),
    methods: make("ul", { class: "methods" }), values: make("dl", { class: "values" }), zoomText: make("output"),
    scaleText: make("output"), handle: make("div", { class: "handle", hidden: true }),
    reasons: make("div", { class: "reasons" }),
    correlation: make("figure", { class: "correlation" },
      make("canvas", { width: 2 * REACH + 1, height: 2 * REACH + 1, role: "img",
        "aria-label": "Autocorrelation of the residual" }),
      make("figcaption", {}, `Autocorrelation of the residual, lags to ±${REACH} pixels, colours to ±${CORRELATION}. `,
        make("output"))),
  };
  parts.scale = make("div", { class: "scale", hidden: true }, button("−", "Narrower scale", ACTIONS["["]),
    make("span", { class: "ramp", "aria-hidden": "true" }), parts.scaleText, button("+", "Wider scale", ACTIONS["]"]));
  const bar = make("div", { class: "bar" },
    make("span", { class: "group" }, button("‹", "The part before", ACTIONS.p), scenes, button("›", "The next part", ACTIONS.n)),
    make("span", { class: "group", role: "group", "aria-label": "What is shown" }, ...Object.values(parts.modes)),
    make("span", { class: "group", role: "group", "aria-label": "Layout" }, ...Object.values(parts.layouts)),
    make("span", { class: "group" }, button("−", "Less zoom", ACTIONS["-"]), parts.zoomText, button("+", "More zoom", ACTIONS["+"]),
      button("reset", "Place, zoom, exposure and gamma as at the start", ACTIONS.z)));
  const aside = make("div", { class: "side" }, parts.methods, parts.scale,
    make("label", { class: "range" }, "Exposure ", exposure, exposureText),
    make("label", { class: "range" }, "Gamma ", gamma, gammaText), parts.values, parts.correlation);
  root.append(bar, make("div", { class: "split" }, make("div", { class: "left" }, stage, parts.reasons), aside));
  listen(stage);
  document.querySelectorAll(".scene").forEach((article) => {
    article.querySelectorAll(".thumb").forEach((thumb, panel) => {
      const scene = data.scenes[Number(article.dataset.scene)];
      const link = make("a", { href: address({ image: scene.id, method: scene.panels[panel].name }) });
      thumb.removeAttribute("tabindex");
      link.append(...thumb.childNodes);
      thumb.append(link);
    });
  });
  let was = 0;
  new ResizeObserver(() => {
    const width = stage.clientWidth;
    if (width && width !== was) {
      was = width;
      if (view.layout === "all") buildPanels();
      redraw();
    }
  }).observe(stage);
  openScene(0, outputsOf(data.scenes[0])[0] ?? 0);
}
