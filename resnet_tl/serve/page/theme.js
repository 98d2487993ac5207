// Light or dark: as the system is set, until the person chooses.

import { byId } from "./dom.js";

const root = document.documentElement;
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches);
const showChoice = () => byId("theme").setAttribute("aria-pressed", isDark());

const stored = localStorage.getItem("theme");
if (stored) root.dataset.theme = stored;
showChoice();
systemIsDark.addEventListener("change", showChoice);
byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  showChoice();
});
