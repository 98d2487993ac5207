// The page: images come in, are sent to the server one by one, and what it predicts is shown.

import { openCamera } from "./camera.js";
import { breakable, byId, make, plural } from "./dom.js";
import { LOWEST, showPrediction, summary } from "./panel.js";
import { explain, fetchModel, megabytes, predict } from "./server.js";
import { clearStage, setSize, showImage } from "./stage.js";
import "./theme.js";

const AT_ONCE = 4;
const [strip, result, stage, image, panel] = ["strip", "result", "stage", "image", "panel"].map(byId);
const [heat, form] = ["heat", "explain"].map(byId);

let model = null;
const entries = []; // { file, url, state: waiting | running | done | failed, prediction, error, heat, button, caption }
let shown = null;

function add(files) {
  const first = entries.length;
  for (const file of files) entries.push(newEntry(file));
  tell("");
  if (entries.length > first) show(entries[first]);
  work();
}

function newEntry(file) {
  const entry = { file, url: URL.createObjectURL(file), state: "waiting", caption: make("span", {}), heat: null };
  const picture = make("img", { src: entry.url, alt: "", loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => picture.remove());
  entry.button = make("button", { type: "button" }, picture, entry.caption);
  entry.button.addEventListener("click", () => show(entry));
  strip.append(make("li", {}, entry.button));
  label(entry);
  return entry;
}

function work() {
  const free = AT_ONCE - entries.filter((each) => each.state === "running").length;
  if (model) for (const entry of entries.filter((each) => each.state === "waiting").slice(0, free)) run(entry);
}

async function run(entry) {
  entry.state = "running";
  try {
    entry.prediction = await predict(entry.file, model.limits, model.task === "detection" ? { score: LOWEST } : {});
    entry.state = "done";
  } catch (error) {
    [entry.state, entry.error] = ["failed", error];
  }
  label(entry);
  if (entry === shown) showState(entry);
  byId("status").textContent = `${entry.file.name}: ${words(entry)}`;
  work();
}

function words(entry) {
  if (entry.state === "done") return summary(entry.prediction, model);
  return entry.state === "failed" ? entry.error.message : "predicting …";
}

function label(entry) {
  entry.caption.textContent = entry.state === "failed" ? "failed" : words(entry);
  entry.button.setAttribute("aria-label", `${entry.file.name}: ${words(entry)}`);
  entry.button.classList.toggle("failed", entry.state === "failed");
}

function show(entry) {
  shown = entry;
  strip.hidden = entries.length < 2;
  result.hidden = entry === null;
  document.body.classList.toggle("empty", entry === null);
  for (const each of entries) each.button.setAttribute("aria-pressed", each === entry);
  if (entry === null) return;
  entry.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  byId("title").replaceChildren(...breakable(entry.file.name));
  showImage(entry.url, entry.file.name);
  showState(entry);
}

function showState(entry) {
  clearStage();
  checkImage();
  result.setAttribute("aria-busy", entry.state === "waiting" || entry.state === "running");
  form.hidden = entry.state !== "done" || !model.options.explain;
  showHeat(entry);
  if (entry.state === "failed") showFailure(entry);
  else if (entry.state !== "done") panel.replaceChildren(make("p", { class: "soft" }, "Predicting …"));
  else {
    showPrediction(entry.prediction, model);
    const names = entry.prediction.areas?.map((each) => each.name) ?? model.classes;
    const choices = names.map((each) => make("option", {}, each));
    byId("class").replaceChildren(make("option", { value: "" }, "as predicted"), ...choices);
  }
}

function showFailure(entry) {
  panel.replaceChildren(make("p", { class: "error", role: "alert" }, entry.error.message));
  if (!entry.error.again) return;
  const again = make("button", { type: "button" }, "Try again");
  again.addEventListener("click", () => {
    entry.state = "waiting";
    label(entry);
    showState(entry);
    work();
  });
  panel.append(again);
}

function remove() {
  const place = entries.indexOf(shown);
  entries.splice(place, 1);
  shown.button.parentElement.remove();
  for (const url of [shown.url, shown.heat?.url]) if (url) URL.revokeObjectURL(url);
  show(entries[place] ?? entries.at(-1) ?? null);
  (shown ? byId("remove") : byId("choose")).focus();
}

/** Hides an image that the browser cannot decode, or turns otherwise than the server: boxes would lie on wrong places. */
function checkImage() {
  if (!shown || !image.complete) return;
  const { width, height } = shown.prediction ?? { width: image.naturalWidth, height: image.naturalHeight };
  const fits = width > 0 && image.naturalWidth === width && image.naturalHeight === height;
  image.hidden = !fits;
  stage.hidden = width === 0;
  byId("undrawable").hidden = fits || !shown.prediction;
  if (width > 0) setSize(width, height);
}

function showHeat(entry) {
  heat.hidden = entry.heat === null;
  byId("explain-message").textContent = "";
  if (entry.heat === null) return;
  byId("heat-image").src = entry.heat.url;
  byId("heat-image").alt = `Heat map over ${entry.file.name}: ${entry.heat.words}`;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [entry, choice] = [shown, byId("class")];
  const say = (text) => { if (entry === shown) byId("explain-message").textContent = text; };
  say("Computing …");
  try {
    const picture = await explain(entry.file, model.limits, choice.value);
    if (entry.heat) URL.revokeObjectURL(entry.heat.url);
    entry.heat = { url: URL.createObjectURL(picture), words: choice.selectedOptions[0].textContent };
    if (entry === shown) showHeat(entry);
  } catch (error) {
    say(error.message);
  }
});

function tell(text) {
  byId("message").textContent = text;
}

function takeFiles(list, otherwise) {
  if (list.length) add(list);
  else tell(otherwise);
}

for (const event of ["load", "error"]) image.addEventListener(event, checkImage);
byId("choose").addEventListener("click", () => byId("files").click());
for (const input of [byId("files"), byId("photo")]) {
  input.addEventListener("change", () => {
    add(input.files);
    input.value = ""; // so that the same file can be chosen again
  });
}
byId("camera").addEventListener("click", () => {
  tell("");
  openCamera((file) => add([file])).catch((error) => tell(error.message));
});
byId("remove").addEventListener("click", remove);
document.addEventListener("paste", (event) => takeFiles(event.clipboardData.files, "There is no image in the clipboard."));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  takeFiles(event.dataTransfer.files, "That was not a file; save the image first, then drop its file.");
});
strip.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[event.key];
  const next = step && event.target.closest("li")?.[step];
  if (next) next.firstElementChild.focus();
});

function showModel() {
  const { name, task, classes, limits, metrics, preprocessing } = model;
  document.title = `${name} · resnet_tl`;
  byId("task").textContent = task;
  byId("name").replaceChildren(...breakable(name));
  const [first, more] = [classes.slice(0, 12).join(", "), classes.length - 12];
  byId("lead").textContent = more > 0 ? `${first} and ${more} more` : first;
  byId("limits").textContent = `Up to ${megabytes(limits.max_bytes)} and ${Math.round(limits.max_pixels / 1e6)} megapixels each.`;
  byId("metrics-title").hidden = Object.keys(metrics).length === 0;
  for (const [metric, value] of Object.entries(metrics)) {
    byId("metrics").append(make("div", { class: "tile" }, make("b", {}, value.toFixed(3)), make("span", {}, metric)));
  }
  for (const [key, value] of Object.entries({ [plural(classes.length, task === "regression" ? "number" : "class")]: classes, ...preprocessing })) {
    if (value === null) continue;
    byId("facts").append(make("dt", {}, key.replaceAll("_", " ")), make("dd", {}, [value].flat().join(", ")));
  }
  byId("curl").textContent = `curl -F files=@image.jpg ${new URL("predict", location.href)}`;
}

byId("copy").addEventListener("click", async () => {
  const text = byId("curl");
  getSelection().selectAllChildren(text);
  await navigator.clipboard?.writeText(text.textContent);
  byId("copy").textContent = "Copied";
});

show(null);
try {
  model = await fetchModel();
  showModel();
  work();
} catch (error) {
  tell(error.message);
}
