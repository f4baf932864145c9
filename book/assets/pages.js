/* Pages around the chapters: tables that sort, and a search that works from a file. Without it they are plain pages. */
(function () {
  "use strict";

  // From a file:// a browser may not read other pages, so the search lists its hits without excerpts.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  function value(cell) {
    var text = cell ? cell.textContent.trim() : "";
    var number = parseFloat(text.replace(/,/g, ""));
    return /^-?[\d.,]+(\s*±.*)?$/.test(text) && !isNaN(number) ? number : text;
  }

  function compare(a, b) {
    var numbers = (typeof a === "number") + (typeof b === "number");
    if (numbers === 2) return a - b;
    if (numbers === 1) return typeof a === "number" ? -1 : 1; // what was not measured comes last
    return a.localeCompare(b);
  }

  function sort(table, column, header) {
    var body = table.tBodies[0];
    var falling = header.getAttribute("aria-sort") === "descending";
    var first = header.getAttribute("aria-sort") === null && typeof value(body.rows[0].cells[column]) === "number";
    var sign = first ? -1 : header.getAttribute("aria-sort") === null || falling ? 1 : -1;
    var rows = Array.prototype.slice.call(body.rows);
    rows.sort(function (a, b) {
      var x = value(a.cells[column]), y = value(b.cells[column]);
      var mixed = typeof x !== typeof y;
      return compare(x, y) * (mixed ? 1 : sign);
    });
    rows.forEach(function (row) { body.appendChild(row); });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (cell) { cell.removeAttribute("aria-sort"); });
    header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  }

  function prepare(table) {
    if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < 2) return;
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (header, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.className = "sort-button";
      button.textContent = header.textContent.trim();
      button.addEventListener("click", function () { sort(table, column, header); });
      header.textContent = "";
      header.appendChild(button);
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("table.sortable").forEach(prepare);
  });
})();
