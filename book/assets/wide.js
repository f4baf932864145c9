/* Tables and formulas that are wider than the page: smaller first, on a phone a number above its deviation and the rows of
   records as cards, then a box that scrolls and shows it at its edge.
   Without this they scroll, and only the sign is missing. */
(function () {
  "use strict";

  // What keeps its width (the frame) and what scrolls in it: of a table the same box, of a formula two.
  function pairs() {
    var found = [];
    document.querySelectorAll(".bd-article table").forEach(function (table) {
      var box = table.parentElement;
      if (box.matches(".output, .pst-scrollable-table-container")) found.push({ frame: box, box: box, table: table });
    });
    document.querySelectorAll('.bd-article div.math > mjx-container[display="true"]').forEach(function (formula) {
      found.push({ frame: formula.parentElement, box: formula });
    });
    return found;
  }

  function tooWide(box) {
    return box.scrollWidth > box.clientWidth + 1;
  }

  function edges(box) {
    var scrolls = box.classList.contains("scrolls");
    box.classList.toggle("more-left", scrolls && box.scrollLeft > 1);
    box.classList.toggle("more-right", scrolls && box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  }

  // A box with a name is announced when the keyboard reaches it; the arrow keys then scroll it.
  function reachable(pair, scrolls) {
    if (!pair.table) return; // a formula has MathJax's own focus and name
    pair.box.tabIndex = scrolls ? 0 : -1;
    if (scrolls) {
      var caption = pair.table.caption;
      pair.box.setAttribute("role", "group");
      pair.box.setAttribute("aria-label", "Table that scrolls sideways" + (caption ? ": " + caption.textContent.trim() : ""));
    } else {
      pair.box.removeAttribute("role");
      pair.box.removeAttribute("aria-label");
    }
  }

  // Where a phone breaks "0.44 ± 0.02 *": before the sign, and nowhere else.
  function keepTogether(table) {
    table.querySelectorAll("td, td p").forEach(function (cell) {
      if (!cell.children.length && cell.textContent.includes(" ± ")) {
        cell.textContent = cell.textContent.replace(" ± ", " ±\u00a0").replace(" *", "\u00a0*");
      }
    });
  }

  // Where a row becomes a card its numbers have no column, so each cell brings the column's name along.
  function nameCells(table) {
    Array.from(table.tBodies[0].rows).forEach(function (row) {
      Array.from(row.cells).forEach(function (cell, k) {
        cell.dataset.head = table.tHead.rows[0].cells[k].textContent.trim();
      });
    });
  }

  function fit(pair) {
    pair.frame.classList.remove("tight", "tighter", "stacked", "cards");
    pair.box.classList.remove("scrolls", "more-left", "more-right");
    // The heads of a table that is sorted by them stay.
    var ofRecords = pair.table && pair.table.matches(".record-table:not(.sortable)");
    ["tight", "tighter", "stacked", "cards"].forEach(function (step) {
      if (!tooWide(pair.box) || (step === "cards" && !ofRecords)) return;
      if (step === "stacked" && pair.table) keepTogether(pair.table);
      if (step === "cards") nameCells(pair.table);
      pair.frame.classList.add(step);
    });
    var scrolls = tooWide(pair.box);
    pair.box.classList.toggle("scrolls", scrolls);
    reachable(pair, scrolls);
    edges(pair.box);
  }

  function watch() {
    var all = pairs(), widths = new Map(), waiting = false;
    function look() {
      waiting = false;
      all.forEach(function (pair) {
        var width = pair.frame.clientWidth;
        if (!width || widths.get(pair) === width) return; // folded away, or seen at this width
        widths.set(pair, width);
        fit(pair);
      });
    }
    var observer = new ResizeObserver(function () {
      if (!waiting) {
        waiting = true;
        requestAnimationFrame(look);
      }
    });
    all.forEach(function (pair) {
      observer.observe(pair.frame);
      pair.box.addEventListener("scroll", function () { edges(pair.box); }, { passive: true });
    });
  }

  window.addEventListener("load", function () {
    var formulas = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
    Promise.all([formulas, document.fonts && document.fonts.ready]).then(watch, watch);
  });
})();
