const data = JSON.parse(document.getElementById("content").textContent);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

for (const image of all("img[data-picture]")) image.src = data.pictures[image.dataset.picture];

function draw() {
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const font = "system-ui, sans-serif";
  const config = {
    background: "transparent", font, view: { stroke: null },
    axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500, labelFontSize: 11, titleFontSize: 11 },
    legend: { labelColor: ink, titleColor: soft, labelFontSize: 11, symbolStrokeWidth: 2 },
    header: { labelColor: ink, titleColor: soft }, text: { color: ink }, title: { color: ink },
  };
  for (const place of all("[data-chart]")) {
    window.vegaEmbed(place, data.charts[place.dataset.chart], { actions: false, renderer: "svg", config });
  }
}
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

for (const table of all("table.sortable")) {
  const heads = all("thead th", table);
  heads.forEach((head, column) => {
    const sort = () => {
      const ascending = head.getAttribute("aria-sort") === "descending";
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => (isNaN(value(a)) || isNaN(value(b)) ? value(b).localeCompare(value(a)) : value(b) - value(a));
      const rows = [...table.tBodies[0].rows].sort((a, b) => (ascending ? -1 : 1) * compare(a, b));
      table.tBodies[0].append(...rows);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  });
}

const cells = all("[data-cell]");
function show(button) {
  for (const each of cells) each.setAttribute("aria-pressed", each === button);
  for (const gallery of all("[data-gallery]")) gallery.hidden = gallery.dataset.gallery !== button.dataset.cell;
  document.getElementById("cell-label").textContent = button.dataset.label;
}
for (const button of cells) button.addEventListener("click", () => show(button));
const worst = document.querySelector("[data-gallery]")?.dataset.gallery;
const first = cells.find((button) => button.dataset.cell === worst);
if (first) show(first);

const large = document.getElementById("large");
for (const button of all(".picture button")) {
  button.addEventListener("click", (event) => {
    large.querySelector("img").src = (event.target.closest("img") ?? button.querySelector("img")).src;
    const lines = all("figcaption span", button.parentElement).map((line) => line.textContent);
    large.querySelector("p").textContent = [button.dataset.title, ...lines].join(" · ");
    large.showModal();
  });
}
large.addEventListener("click", (event) => event.target === large && large.close());
