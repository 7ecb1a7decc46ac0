// Pixels of a panel as floats, maps of differences, and what a canvas shows of them.

const data = JSON.parse(document.getElementById("data").textContent);
const decoded = new Map(); // "scene/panel" -> promise of {width, height, values}
const KEPT = 64; // images that are held as floats

/** The element of a name with properties and children; texts are texts. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value || "";
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

function context(width, height) {
  const canvas = make("canvas", { width, height });
  return canvas.getContext("2d", { willReadFrequently: true });
}

async function bytes(image) {
  await image.decode();
  const drawn = context(image.naturalWidth, image.naturalHeight);
  drawn.drawImage(image, 0, 0);
  return drawn.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
}

async function decode(scene, panel) {
  const shown = data.scenes[scene].panels[panel];
  const image = document.querySelectorAll(`[data-scene="${scene}"] img`)[panel];
  const high = await bytes(image);
  let low = null;
  if (shown.depth > 1) {
    const second = new Image();
    second.src = image.dataset.low;
    low = await bytes(second);
  }
  const values = new Float32Array(high.width * high.height * 3);
  const largest = low ? 65535 : 255;
  const step = (shown.high - shown.low) / largest;
  for (let pixel = 0, i = 0; i < values.length; pixel += 4) {
    for (let c = 0; c < 3; c++, i++) {
      const code = low ? high.data[pixel + c] * 256 + low.data[pixel + c] : high.data[pixel + c];
      values[i] = shown.low + code * step;
    }
  }
  return { width: high.width, height: high.height, values };
}

/** A promise of a panel's values [H * W * 3]; the last ones asked for are kept. */
function pixels(scene, panel) {
  const key = `${scene}/${panel}`;
  const known = decoded.get(key) || decode(scene, panel);
  decoded.delete(key);
  decoded.set(key, known);
  if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  return known;
}

/** Blue for values below zero, orange above, both told apart by colour-blind readers; t in -1..1. */
function diverging(t) {
  const s = Math.max(-1, Math.min(1, t));
  const [r, g, b] = s < 0 ? [0, 90, 181] : [220, 100, 0];
  const weight = Math.abs(s);
  return [245 + (r - 245) * weight, 245 + (g - 245) * weight, 245 + (b - 245) * weight];
}

/** a - b, averaged over the channels: [H * W]. */
function signed(a, b) {
  const found = new Float32Array(a.values.length / 3);
  for (let i = 0, j = 0; i < found.length; i++, j += 3) {
    found[i] = (a.values[j] - b.values[j] + a.values[j + 1] - b.values[j + 1] + a.values[j + 2] - b.values[j + 2]) / 3;
  }
  return found;
}

function drawMap(width, height, map, scale) {
  const drawn = context(width, height);
  const shown = drawn.createImageData(width, height);
  for (let i = 0; i < map.length; i++) {
    const [r, g, b] = diverging(map[i] / scale);
    shown.data.set([r, g, b, 255], 4 * i);
  }
  drawn.putImageData(shown, 0, 0);
  return drawn.canvas;
}

/** ((x - low) / (high - low) 2^exposure)^(1 / gamma), from black to white. */
function drawImage(image, scene, exposure, gamma) {
  const drawn = context(image.width, image.height);
  const shown = drawn.createImageData(image.width, image.height);
  const gain = 2 ** exposure / (scene.high - scene.low);
  const power = 1 / gamma;
  for (let i = 0, out = 0; i < image.values.length; i += 3, out += 4) {
    for (let c = 0; c < 3; c++) {
      const linear = Math.max(0, Math.min(1, (image.values[i + c] - scene.low) * gain));
      shown.data[out + c] = Math.round(255 * (power === 1 ? linear : linear ** power));
    }
    shown.data[out + 3] = 255;
  }
  drawn.putImageData(shown, 0, 0);
  return drawn.canvas;
}

/** Correlation of a map with itself at lags up to `reach` pixels: [(2 reach + 1)^2], 1 in the middle. */
function autocorrelation(map, width, height, reach) {
  const side = 2 * reach + 1;
  const found = new Float32Array(side * side);
  let mean = 0;
  for (const value of map) mean += value / map.length;
  let variance = 0;
  for (const value of map) variance += (value - mean) ** 2 / map.length;
  for (let dy = 0; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      if (dy === 0 && dx < 0) continue;
      let sum = 0, count = 0;
      for (let y = 0; y < height - dy; y++) {
        for (let x = Math.max(0, -dx); x < Math.min(width, width - dx); x++) {
          sum += (map[y * width + x] - mean) * (map[(y + dy) * width + x + dx] - mean);
          count++;
        }
      }
      const value = variance > 0 && count > 0 ? sum / count / variance : 0;
      found[(reach + dy) * side + reach + dx] = value;
      found[(reach - dy) * side + reach - dx] = value;
    }
  }
  return found;
}

/** 10 log10(R^2 / MSE) in dB of the square of side 2 reach + 1 around a pixel, as far as it lies in the part. */
function localPsnr(a, b, x, y, peak, reach) {
  let sum = 0, count = 0;
  for (let row = Math.max(0, y - reach); row <= Math.min(a.height - 1, y + reach); row++) {
    for (let column = Math.max(0, x - reach); column <= Math.min(a.width - 1, x + reach); column++) {
      for (let c = 0; c < 3; c++, count++) {
        const i = (row * a.width + column) * 3 + c;
        sum += (a.values[i] - b.values[i]) ** 2;
      }
    }
  }
  return 10 * Math.log10((peak * peak * count) / sum);
}
