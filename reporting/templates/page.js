"use strict";
// Sorting: a click sorts up, the next one down, the third one restores the order. Cells without a number stay last.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    const numeric = rows.some(row => row.cells[column].dataset.value);
    const key = row => numeric ? row.cells[column].dataset.value : row.cells[column].textContent;
    const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", {numeric: true});
    button.addEventListener("click", () => {
      const next = {none: "ascending", ascending: "descending", descending: "none"}[head.getAttribute("aria-sort")];
      heads.forEach(other => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const sorted = rows.filter(key).sort((a, b) => sign * compare(key(a), key(b)));
      body.append(...(next === "none" ? rows : [...sorted, ...rows.filter(row => !key(row))]));
    });
  });
}

// Copying a command; without the right to do so, it is selected.
for (const block of document.querySelectorAll(".code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(block.querySelector("code"));
    try { await navigator.clipboard.writeText(block.querySelector("code").textContent); button.textContent = "Copied" }
    catch { button.textContent = "Selected" }
  });
  block.prepend(button);
}

// A hint where a table or figure is wider than its box.
// Such a box can be reached and scrolled with the keyboard.
const watch = new ResizeObserver(entries => entries.forEach(({target}) => {
  const wide = target.scrollWidth > target.clientWidth + 1 || target.scrollHeight > target.clientHeight + 1;
  target.parentElement.classList.toggle("overflowing", target.scrollWidth > target.clientWidth + 1);
  wide ? target.setAttribute("tabindex", "0") : target.removeAttribute("tabindex");
}));
document.querySelectorAll(".scroll").forEach(box => watch.observe(box));

// What a link leads to is unfolded, with all around it; before printing, the tasks.
const target = () => document.getElementById(decodeURIComponent(location.hash.slice(1)));
const unfold = () => {
  for (let one = target(); one; one = one.parentElement?.closest("details")) if (one.matches("details")) one.open = true;
  target()?.closest("details") && target().scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => document.querySelectorAll(".part:not(.runs)").forEach(one => one.open = true));
