// What was predicted, in words and numbers, next to the image.

import { byId, make, plural } from "./dom.js";
import { highlightColour, highlightObject, setOpacity, showMask, showObjects } from "./stage.js";

/** Objects are asked for from this score on, so that the slider can go down to it. */
export const LOWEST = 0.05;
const UNDECIDED = 0.3; // where validation has not decided from which score on there is an object

const UNLIKE = "The image is unlike those of training: probably it shows none of the classes, whatever the scores below.";
const UNSURE = "The network is unsure: no class is likely enough to be right for 90 % of images like those of validation.";

const panel = byId("panel");

/** Returns what was predicted, for a label or an announcement. */
export function summary(prediction, model) {
  if (prediction.none_of_these) return "none of these";
  if (prediction.classes) return prediction.classes.length ? best(prediction.classes[0]) : "no class";
  if (prediction.objects) {
    const count = prediction.objects.filter((each) => each.score >= decided(model, each.name)).length;
    return count ? plural(count, "object") : "no objects";
  }
  if (prediction.values) return numbers(prediction).slice(0, 2).map(([name, value]) => `${name} ${value}`).join(", ");
  return prediction.areas.slice(0, 2).map((each) => `${each.name} ${percent(each.share)}`).join(", ");
}

export function showPrediction(prediction, model) {
  panel.replaceChildren();
  if (prediction.classes) showClasses(prediction);
  else if (prediction.objects) showList(prediction, model);
  else if (prediction.values) showNumbers(prediction);
  else showAreas(prediction);
}

const best = ({ name, score }) => `${name} ${score.toFixed(2)}`;
const percent = (share) => (share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);
const decided = (model, name) => model.scores?.[name] ?? UNDECIDED;

const digits = (value) => String(Number(value.toPrecision(4)));

/** Returns [name, number, interval or ""] of each number. */
function numbers({ values, intervals }) {
  const between = (name) => (intervals ? intervals[name].map(digits).join(" to ") : "");
  return Object.entries(values).map(([name, value]) => [name, digits(value), between(name)]);
}

function showNumbers(prediction) {
  const list = make("ul", { class: "bars", "aria-label": "Predicted numbers" });
  for (const [name, value, interval] of numbers(prediction)) {
    list.append(make("li", {}, make("span", {}, name), make("b", {}, value), make("small", { class: "soft" }, interval)));
  }
  panel.append(list);
}

function showClasses({ classes, none_of_these: none, possible }) {
  if (none) {
    panel.append(make("p", { class: "verdict none" }, "None of these"), make("p", { class: "soft" }, UNLIKE));
  } else if (classes.length === 0) {
    panel.append(make("p", { class: "verdict" }, "No class"));
    panel.append(make("p", { class: "soft" }, "No class reaches its threshold."));
  } else {
    panel.append(make("p", { class: "verdict" }, classes[0].name));
  }
  const list = make("ol", { class: "bars", "aria-label": "Classes with scores" });
  for (const { name, score } of classes) {
    const bar = make("i", {});
    bar.style.width = `${100 * score}%`;
    const track = make("span", { class: "bar", "aria-hidden": "true" }, bar);
    list.append(make("li", {}, make("span", {}, name), make("b", {}, score.toFixed(3)), track));
  }
  panel.append(list);
  if (possible && !none) panel.append(make("p", { class: "small" }, possibleSentence(possible)));
}

function possibleSentence(possible) {
  if (possible.length === 0) return UNSURE;
  return `Possible: ${possible.join(", ")}. Of images like those of validation, 90 % have their true class among these.`;
}

function showList(prediction, model) {
  const objects = prediction.objects.map((each) => ({ ...each, ...colours(model.classes.indexOf(each.name)) }));
  const heading = make("p", { class: "verdict" });
  const counts = make("p", { class: "legend small" });
  const list = make("ul", { class: "choices", "aria-label": "Objects" });
  const lowestDecided = Math.min(...model.classes.map((name) => decided(model, name)));
  const scale = { id: "score", min: LOWEST, max: 1, step: 0.01, value: lowestDecided };
  const { slider, value, row } = sliderRow("Lowest score", scale);
  const reset = make("button", { type: "button", class: "plain" }, "Reset");
  const note = make("p", { class: "soft small" });

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
    if (shown.length < 1 && objects.length > 0) note.textContent += ` There are ${objects.length} with lower scores.`;
    counts.replaceChildren(...countByClass(shown));
    list.replaceChildren(...shown.map((each) => make("li", {}, objectButton(each, choose))));
    showObjects(shown, prediction, (each) => choose(each, true));
  };
  slider.addEventListener("input", () => update(Number(slider.value)));
  reset.addEventListener("click", () => {
    slider.value = lowestDecided;
    update(null);
    slider.focus();
  });
  row.append(reset);
  panel.append(heading, counts, row, note, list);
  update(null);
}

function decidedSentence(model) {
  const scores = model.classes.map((name) => `${name} ${model.scores[name].toFixed(2)}`);
  const listed = scores.length > 6 ? "" : `: ${scores.join(", ")}`;
  return `Each class has its own lowest score, the best in validation${listed}.`;
}

function countByClass(objects) {
  const [counts, colours] = [new Map(), new Map(objects.map((each) => [each.name, each.colour]))];
  for (const { name } of objects) counts.set(name, (counts.get(name) ?? 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1]);
  return most.map(([name, count]) => make("span", {}, swatch(colours.get(name)), `${name} ${count}`));
}

function objectButton(each, choose) {
  each.button = choice(each.colour, each.name, each.score.toFixed(2), () => choose(each), () => choose(null));
  return each.button;
}

function showAreas({ areas, mask }) {
  const { slider, value, row } = sliderRow("Opacity", { id: "opacity", min: 0, max: 1, step: 0.05, value: 0.55 });
  const update = () => {
    value.textContent = `${Math.round(100 * slider.value)} %`;
    setOpacity(slider.value);
  };
  slider.addEventListener("input", update);
  const list = make("ul", { class: "choices", "aria-label": "Classes with their shares of the image" });
  for (const each of areas) {
    const [mark, unmark] = [() => highlightColour(each.colour), () => highlightColour(null)];
    list.append(make("li", {}, choice(`rgb(${each.colour.join(" ")})`, each.name, percent(each.share), mark, unmark)));
  }
  panel.append(make("p", { class: "verdict" }, plural(areas.length, "class")), row, list);
  update();
  showMask(mask);
}

function sliderRow(label, attributes) {
  const slider = make("input", { type: "range", ...attributes });
  const value = make("output", { for: attributes.id });
  return { slider, value, row: make("div", { class: "row" }, make("label", { for: attributes.id }, label), slider, value) };
}

/** Returns a line of a list; calls `enter` when the pointer or the focus comes to it, `leave` when both are gone. */
function choice(colour, name, number, enter, leave) {
  const text = [make("span", { class: "name" }, name), " ", make("b", {}, number)];
  const button = make("button", { type: "button" }, swatch(colour), ...text);
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

/** Returns the colour of a class, as `predict --draw` draws it, and that of text on it: of more contrast (WCAG 2). */
function colours(label) {
  const [hue, value] = [(0.02 + label * 0.618034) % 1, 0.75 + 0.25 * (label % 2)];
  const channel = (n) => {
    const k = (n + 6 * hue) % 6;
    return Math.round(255 * value * (1 - 0.85 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  const [red, green, blue] = [channel(5), channel(3), channel(1)];
  const light = (value) => (value < 11 ? value / 3295 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = 0.2126 * light(red) + 0.7152 * light(green) + 0.0722 * light(blue);
  return { colour: `rgb(${red} ${green} ${blue})`, ink: luminance > 0.179 ? "black" : "white" };
}
