// What was predicted, in words and numbers, next to the image.

import { byId, make, plural } from "./dom.js";
import { highlightColour, highlightObject, setOpacity, showMask, showObjects } from "./stage.js";

/** Objects are asked for from this score on, so that the slider can go down to it. */
export const LOWEST = 0.05;
const UNDECIDED = 0.3; // where validation has not decided from which score on there is an object

const panel = byId("panel");

/** Returns what was predicted, for a label or an announcement. */
export function summary(prediction, model) {
  if (prediction.none_of_these) return "none of these";
  if (prediction.classes) return prediction.classes.length ? best(prediction.classes[0]) : "no class";
  if (prediction.objects) {
    const count = prediction.objects.filter((each) => each.score >= decided(model, each.name)).length;
    return count ? plural(count, "object") : "no objects";
  }
  return prediction.areas.slice(0, 2).map((each) => `${each.name} ${percent(each.share)}`).join(", ");
}

export function showPrediction(prediction, model) {
  panel.replaceChildren();
  if (prediction.classes) showClasses(prediction);
  else if (prediction.objects) showList(prediction, model);
  else showAreas(prediction);
}

const best = ({ name, score }) => `${name} ${score.toFixed(2)}`;
const percent = (share) => (share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);
const decided = (model, name) => model.scores?.[name] ?? UNDECIDED;

function showClasses({ classes, none_of_these: none, possible }) {
  if (none) {
    panel.append(make("p", { class: "verdict none" }, "None of these"));
    panel.append(make("p", { class: "soft" }, "The image is unlike those of training: probably it shows none of the classes, whatever the scores below."));
  } else if (classes.length === 0) {
    panel.append(make("p", { class: "verdict" }, "No class"), make("p", { class: "soft" }, "No class reaches its threshold."));
  } else {
    panel.append(make("p", { class: "verdict" }, classes[0].name));
  }
  const list = make("ol", { class: "bars", "aria-label": "Classes with scores" });
  for (const { name, score } of classes) {
    const bar = make("i", {});
    bar.style.width = `${100 * score}%`;
    list.append(make("li", {}, make("span", { class: "name" }, name), make("b", {}, score.toFixed(3)), make("span", { class: "bar", "aria-hidden": "true" }, bar)));
  }
  panel.append(list);
  if (possible && !none) panel.append(make("p", { class: "small" }, possibleSentence(possible)));
}

const possibleSentence = (possible) =>
  possible.length ? `Possible: ${possible.join(", ")}. Of images like those of validation, 90 % have their true class among these.`
    : "The network is unsure: no class is likely enough to be right for 90 % of images like those of validation.";

function showList(prediction, model) {
  const objects = prediction.objects.map((each) => ({ ...each, ...colours(model.classes.indexOf(each.name)) }));
  const heading = make("p", { class: "verdict" });
  const counts = make("p", { class: "legend small" });
  const list = make("ul", { class: "choices", "aria-label": "Objects" });
  const [slider, value] = [make("input", { type: "range", id: "score", min: LOWEST, max: 1, step: 0.01 }), make("output", { for: "score" })];
  const reset = make("button", { type: "button", class: "plain" }, "Reset");
  const note = make("p", { class: "soft small" });
  slider.value = Math.min(...model.classes.map((name) => decided(model, name)));

  const choose = (chosen, scroll) => {
    highlightObject(chosen);
    for (const each of objects) each.button?.classList.toggle("chosen", each === chosen);
    if (chosen && scroll) list.scrollTop = chosen.button.offsetTop - list.clientHeight / 2;
  };
  const update = (lowest) => {
    const shown = objects.filter((each) => each.score >= (lowest ?? decided(model, each.name)));
    heading.textContent = shown.length ? plural(shown.length, "object") : "No objects";
    value.textContent = lowest === null && model.scores ? "by class" : Number(slider.value).toFixed(2);
    reset.hidden = lowest === null;
    note.textContent = lowest === null && model.scores ? decidedSentence(model) : "";
    counts.replaceChildren(...countByClass(shown));
    list.replaceChildren(...shown.map((each) => make("li", {}, objectButton(each, choose))));
    showObjects(shown, prediction, (each) => choose(each, true));
  };
  slider.addEventListener("input", () => update(Number(slider.value)));
  reset.addEventListener("click", () => {
    slider.value = slider.getAttribute("value");
    update(null);
    slider.focus();
  });
  slider.setAttribute("value", slider.value);
  panel.append(heading, counts, make("div", { class: "row" }, make("label", { for: "score" }, "Lowest score"), slider, value, reset), note, list);
  update(null);
}

function decidedSentence(model) {
  const scores = model.classes.map((name) => `${name} ${model.scores[name].toFixed(2)}`);
  return `Each class has its own lowest score, the best in validation${scores.length > 6 ? "" : `: ${scores.join(", ")}`}.`;
}

function countByClass(objects) {
  const counts = new Map();
  for (const each of objects) counts.set(each.name, [...(counts.get(each.name) ?? []), each]);
  return [...counts].sort((a, b) => b[1].length - a[1].length).map(([name, all]) => make("span", {}, swatch(all[0].colour), `${name} ${all.length}`));
}

function objectButton(each, choose) {
  each.button = make("button", { type: "button" }, swatch(each.colour), make("span", { class: "name" }, each.name), " ", make("b", {}, each.score.toFixed(2)));
  return listen(each.button, () => choose(each), () => choose(null));
}

function showAreas({ areas, mask }) {
  const [slider, value] = [make("input", { type: "range", id: "opacity", min: 0, max: 1, step: 0.05, value: 0.55 }), make("output", { for: "opacity" })];
  const update = () => {
    value.textContent = `${Math.round(100 * slider.value)} %`;
    setOpacity(slider.value);
  };
  slider.addEventListener("input", update);
  const list = make("ul", { class: "choices", "aria-label": "Classes with their shares of the image" });
  for (const each of areas) {
    const button = make("button", { type: "button" }, swatch(`rgb(${each.colour.join(" ")})`), make("span", { class: "name" }, each.name), " ", make("b", {}, percent(each.share)));
    list.append(make("li", {}, listen(button, () => highlightColour(each.colour), () => highlightColour(null))));
  }
  panel.append(make("p", { class: "verdict" }, plural(areas.length, "class")));
  panel.append(make("div", { class: "row" }, make("label", { for: "opacity" }, "Opacity"), slider, value), list);
  update();
  showMask(mask);
}

/** Calls `enter` while the pointer or the focus is on a button, `leave` when both are gone. */
function listen(button, enter, leave) {
  for (const event of ["pointerenter", "focus"]) button.addEventListener(event, enter);
  button.addEventListener("pointerleave", () => document.activeElement !== button && leave());
  button.addEventListener("blur", leave);
  return button;
}

function swatch(colour) {
  const square = make("i", { "aria-hidden": "true" });
  square.style.background = colour;
  return square;
}

/** Returns the colour of a class, as `predict --draw` draws it, and that of text on it. */
function colours(label) {
  const [hue, value] = [(0.02 + label * 0.618034) % 1, 0.75 + 0.25 * (label % 2)];
  const channel = (n) => {
    const k = (n + 6 * hue) % 6;
    return Math.round(255 * value * (1 - 0.85 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  const [red, green, blue] = [channel(5), channel(3), channel(1)];
  return { colour: `rgb(${red} ${green} ${blue})`, ink: 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "black" : "white" };
}
