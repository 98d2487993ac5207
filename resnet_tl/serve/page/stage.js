// The image with what was predicted on it: boxes with their names, masks of objects, a mask of classes.

import { byId, make, makeShape } from "./dom.js";

const [stage, image, shapes, labels, mask] = ["stage", "image", "shapes", "labels", "mask"].map(byId);
const LARGEST_MASK = 1400; // pixels of the longer side that are coloured, which keeps large photographs quick

let objects = [];
let pixels = null; // of the mask, as received
let turn = 0; // counts what is shown, so that a mask decoded too late is dropped

export function showImage(url, name) {
  clearStage();
  image.src = url;
  image.alt = name;
}

export function clearStage() {
  [objects, pixels, turn] = [[], null, turn + 1];
  shapes.replaceChildren();
  labels.replaceChildren();
  mask.hidden = true;
}

/** width, height: of the image as predicted, upright. */
export function setSize(width, height) {
  stage.style.setProperty("--w", width);
  stage.style.setProperty("--h", height);
  stage.classList.toggle("tiny", Math.max(width, height) < 200);
  shapes.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

/** Draws objects, with `colour`, `name`, `score`, `box`, maybe `polygons`; `onPoint` gets the one pointed at, or null. */
export function showObjects(shown, { width, height }, onPoint) {
  objects = shown;
  shapes.replaceChildren();
  labels.replaceChildren();
  const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
  for (const each of [...objects].sort((a, b) => area(b) - area(a))) { // small ones above, where they can be pointed at
    const [x1, y1, x2, y2] = each.box;
    const group = makeShape("g", {});
    group.style.color = each.colour;
    if (each.polygons) group.append(makeShape("path", { class: "mask", d: each.polygons.map(path).join(" ") }));
    group.append(makeShape("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1 }));
    const point = (chosen) => ({ pointerType }) => pointerType !== "touch" && onPoint(chosen); // a finger leaves at once
    group.addEventListener("pointerenter", point(each));
    group.addEventListener("pointerleave", point(null));
    group.addEventListener("click", () => onPoint(each));
    each.shape = group;
    shapes.append(group);
  }
  for (const each of objects) {
    each.label = make("span", {}, `${each.name} ${each.score.toFixed(2)}`);
    each.label.style.background = each.colour;
    each.label.style.color = each.ink;
    const [left, top] = [(100 * Math.max(each.box[0], 0)) / width, (100 * Math.max(each.box[1], 0)) / height];
    each.label.style.top = `${top}%`;
    if (left < 70) each.label.style.left = `${left}%`;
    else each.label.style.right = `${Math.max(100 - (100 * each.box[2]) / width, 0)}%`;
    labels.append(each.label);
  }
  declutter();
}

export function highlightObject(chosen) {
  stage.classList.toggle("choosing", chosen !== null);
  for (const each of objects) {
    each.shape.classList.toggle("chosen", each === chosen);
    each.label.classList.toggle("chosen", each === chosen);
  }
}

/** Puts labels above their boxes, or inside at the upper edge; of labels that overlap only the better object's stays. */
function declutter() {
  const taken = [];
  for (const { label } of objects) {
    label.classList.toggle("inside", label.offsetTop < label.offsetHeight);
    label.classList.remove("hidden");
    const place = label.getBoundingClientRect();
    const overlaps = taken.some((other) => touch(place, other));
    label.classList.toggle("hidden", overlaps);
    if (!overlaps) taken.push(place);
  }
}

const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** Draws a mask of classes from a PNG's base64. */
export async function showMask(png) {
  const [drawn, started] = [new Image(), turn];
  drawn.src = `data:image/png;base64,${png}`;
  await drawn.decode();
  if (turn !== started) return;
  const scale = Math.min(1, LARGEST_MASK / Math.max(drawn.width, drawn.height));
  [mask.width, mask.height] = [Math.round(drawn.width * scale), Math.round(drawn.height * scale)];
  const context = mask.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false; // colours between two classes would be those of no class
  context.drawImage(drawn, 0, 0, mask.width, mask.height);
  pixels = context.getImageData(0, 0, mask.width, mask.height);
  mask.hidden = false;
}

export function setOpacity(share) {
  mask.style.opacity = share;
}

/** Leaves only the pixels of one colour `[r, g, b]`; null: all. */
export function highlightColour(colour) {
  if (pixels === null) return;
  const chosen = new ImageData(new Uint8ClampedArray(pixels.data), pixels.width);
  if (colour !== null) {
    const [red, green, blue] = colour;
    for (let k = 0; k < chosen.data.length; k += 4) {
      const [r, g, b] = [chosen.data[k], chosen.data[k + 1], chosen.data[k + 2]];
      if (r !== red || g !== green || b !== blue) chosen.data[k + 3] = 0;
    }
  }
  mask.getContext("2d").putImageData(chosen, 0, 0);
}

const path = (polygon) => `M${polygon.join(" ")}Z`;

new ResizeObserver(declutter).observe(stage);
