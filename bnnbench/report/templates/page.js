"use strict";
// Sorting: a click on a header sorts by the data-sort of its cells (numbers) or by their text; empty cells stay last.
const place = (cell) => (cell.dataset.sort !== undefined ? cell.dataset.sort : cell.textContent.trim());
const compare = (a, b) => (a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : a.localeCompare(b, "en", { numeric: true }));

for (const head of document.querySelectorAll("table.sortable thead th")) {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const rows = [...body.rows].sort((first, second) => {
      const a = place(first.cells[column]), b = place(second.cells[column]);
      if (a === "" || b === "") return (a === "") - (b === "");
      return down ? compare(b, a) : compare(a, b);
    });
    body.append(...rows);
  });
}

// Filtering: rows that do not hold every word that was typed are hidden.
for (const field of document.querySelectorAll("input.filter")) {
  const body = document.getElementById(field.dataset.table).tBodies[0];
  field.hidden = body.rows.length < 4;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}

// What is folded on the screen is printed too.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
