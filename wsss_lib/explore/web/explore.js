(function () {
  "use strict";
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const make = (tag, name) => { const e = document.createElement(tag); if (name) e.className = name; return e; };
  const NS = "http://www.w3.org/2000/svg";
  // From which side of a cell to which the contour runs (0 top, 1 right, 2 bottom, 3 left), by the corners above it
  // (8 top left, 4 top right, 2 bottom right, 1 bottom left); what is above lies to the right of the way.
  const WAYS = {1: [[3, 2]], 2: [[2, 1]], 3: [[3, 1]], 4: [[1, 0]], 5: [[3, 2], [1, 0]], 6: [[2, 0]], 7: [[3, 0]],
    8: [[0, 3]], 9: [[0, 2]], 10: [[0, 3], [2, 1]], 11: [[0, 1]], 12: [[1, 3]], 13: [[1, 2]], 14: [[2, 3]]};

  // The lines at `level` of a grid of values, closed at its border, as an SVG path.
  function contour(values, width, height, level) {
    const W = width + 2, next = new Map(), point = new Map();
    const at = (x, y) => (x < 1 || y < 1 || x > width || y > height ? level - 1 : values[(y - 1) * width + x - 1]);
    const clip = (v, most) => Math.min(Math.max(v, 0.3), most - 0.3);
    function crossing(x0, y0, x1, y1) {
      const a = at(x0, y0), b = at(x1, y1), s = (level - a) / (b - a);
      const x = clip(x0 + s * (x1 - x0) - 0.5, width), y = clip(y0 + s * (y1 - y0) - 0.5, height);
      return x.toFixed(3) + " " + y.toFixed(3);
    }
    for (let y = 0; y <= height; y++) for (let x = 0; x <= width; x++) {
      const tl = at(x, y), tr = at(x + 1, y), br = at(x + 1, y + 1), bl = at(x, y + 1);
      const ways = WAYS[8 * (tl > level) + 4 * (tr > level) + 2 * (br > level) + (bl > level)];
      if (!ways) continue;
      const names = [2 * (y * W + x), 2 * (y * W + x + 1) + 1, 2 * ((y + 1) * W + x), 2 * (y * W + x) + 1];
      const ends = [[x, y, x + 1, y], [x + 1, y, x + 1, y + 1], [x, y + 1, x + 1, y + 1], [x, y, x, y + 1]];
      for (const [from, to] of ways) {
        next.set(names[from], names[to]);
        for (const k of [from, to]) if (!point.has(names[k])) point.set(names[k], crossing(...ends[k]));
      }
    }
    let path = "";
    while (next.size) {
      const first = next.keys().next().value, loop = [];
      for (let k = first; next.has(k);) { loop.push(point.get(k)); const to = next.get(k); next.delete(k); k = to; }
      path += "M" + loop.join("L") + "Z";
    }
    return path;
  }

  const clamp = (v, most) => Math.min(Math.max(v, 0), most);
  const put = (slider, k) => { slider.value = k; slider.dispatchEvent(new Event("input")); };
  function dragged(element, follow) {
    element.addEventListener("pointerdown", follow);
    element.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
    element.addEventListener("dragstart", (event) => event.preventDefault());
  }

  function drawing(width, height) {
    const svg = document.createElementNS(NS, "svg");
    svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const add = (attributes) => {
      const path = document.createElementNS(NS, "path");
      path.setAttribute("vector-effect", "non-scaling-stroke");
      for (const [name, value] of Object.entries(attributes)) path.setAttribute(name, value);
      svg.appendChild(path);
      return path;
    };
    const line = (colour, dashes) => [add({fill: "none", stroke: "#1a1a1a", "stroke-width": 4}),
      add({fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes})];
    return {svg, add, line};
  }

  const KINDS = {
    threshold(root) {
      const [width, height] = root.dataset.size.split(" ").map(Number), data = root.dataset;
      const heights = bytes(data.heights), colours = bytes(data.colours), packed = bytes(data.truth);
      const scores = bytes(data.scores), areas = bytes(data.areas), names = data.names.split("|");
      const truth = Array.from({length: width * height}, (_, k) => (packed[k >> 3] >> (7 - (k & 7))) & 1);
      const live = root.querySelector(".wx-live"), photo = live.querySelector(".wx-photo"), alt = photo.alt;
      const outline = contour(truth, width, height, 0.5), pair = make("div", "wx-pair"), lines = [];
      let shade;
      pair.setAttribute("role", "img");
      for (const side of ["map", "seed"]) {
        const layer = make("div", "wx-layer"), picture = photo.cloneNode(), art = drawing(width, height);
        picture.alt = "";
        picture.className = side === "map" ? "wx-grey" : "";
        layer.appendChild(picture);
        if (side === "map") {
          const canvas = make("canvas"), pen = canvas.getContext("2d");
          canvas.width = width;
          canvas.height = height;
          const heat = pen.createImageData(width, height);
          heights.forEach((h, k) => { heat.data.set(colours.subarray(3 * h, 3 * h + 3), 4 * k); heat.data[4 * k + 3] = 153; });
          pen.putImageData(heat, 0, 0);
          layer.appendChild(canvas);
        } else shade = art.add({fill: "#000", "fill-opacity": 0.7, "fill-rule": "evenodd"});
        for (const path of art.line("#fff", "none")) path.setAttribute("d", outline);
        lines.push(...art.line("#ffb000", "7 4"));
        layer.appendChild(art.svg);
        pair.appendChild(layer);
      }
      live.replaceChild(pair, photo);
      live.hidden = false;
      return (k) => {
        const path = contour(heights, width, height, k + 0.5);
        for (const one of lines) one.setAttribute("d", path);
        shade.setAttribute("d", "M0 0H" + width + "V" + height + "H0Z" + path);
        const value = (v) => (v === 255 ? "–" : (v / 100).toFixed(2));
        const text = names.map((name, i) => name + " " + value(scores[names.length * k + i])).join(" · ");
        pair.setAttribute("aria-label", alt + " The seed is " + areas[k] + "% of the image.");
        return {say: (k / 100).toFixed(2), words: text};
      };
    },
    steps(root) {
      const frames = [...root.querySelectorAll(".wx-frame")];
      return (k) => {
        frames.forEach((frame, i) => frame.classList.toggle("wx-now", i === k));
        const now = frames[k];
        return {say: now.dataset.say, words: now.dataset.words, alt: now.querySelector("img").alt};
      };
    },
    curtain(root, slider) {
      const said = root.dataset.say.split("|"), last = said.length - 1;
      for (const panel of root.querySelectorAll(".wx-panel")) {
        panel.querySelector(".wx-edge").hidden = false;
        dragged(panel, (event) => {
          const box = panel.getBoundingClientRect(), share = (event.clientX - box.left) / box.width;
          put(slider, Math.round(clamp(share, 1) * last));
        });
      }
      return (k) => {
        root.style.setProperty("--wx-share", 100 * k / last + "%");
        return {say: said[k], words: ""};
      };
    },
    click(root, slider) {
      const {side, frame, xs, ys, outlines, say, words} = JSON.parse(root.dataset.click);
      const live = root.querySelector(".wx-live"), layer = live.firstChild, picture = layer.firstChild;
      const plane = make("div", "wx-plane"), art = drawing(side, side), text = picture.alt;
      let held;
      const area = make("div"), grip = make("div", "wx-grip");
      area.style = frame;
      area.append(art.svg, grip);
      const box = art.add({fill: "none", stroke: "#C04000", "stroke-width": 2.2, "stroke-dasharray": "7 4"});
      const cross = art.add({stroke: "#0B6E4F", "stroke-width": 2.6, d: "M-.2-.2 .2 .2M-.2 .2 .2-.2"});
      layer.setAttribute("role", "img");
      picture.alt = "";
      layer.append(area);
      live.replaceChild(plane, layer);
      plane.append(layer, slider);
      const dial = root.querySelector(".wx-dial");
      slider.setAttribute("aria-label", dial.textContent);
      dial.remove();
      live.hidden = false;
      const row = xs.length, place = (k) => [k % row, Math.floor(k / row)];
      const go = (i, j) => put(slider, clamp(j, ys.length - 1) * row + clamp(i, row - 1));
      const WAY = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
        End: [99, 0], Home: [-99, 0], PageUp: [0, 99], PageDown: [0, -99]};
      slider.addEventListener("keydown", (e) => {
        const way = WAY[e.key], [i, j] = place(slider.value);
        if (!way || e.altKey || e.ctrlKey || e.metaKey) return;
        e.preventDefault();
        go(i + way[0], j + way[1]);
      });
      const near = (all, v) => all.reduce((m, a, k) => (Math.abs(a - v) < Math.abs(all[m] - v) ? k : m), 0);
      const move = (e) => {
        const at = art.svg.getBoundingClientRect(), scale = side / at.width;
        // A finger drags the cross alone: elsewhere it scrolls or taps.
        if (e.type === "pointerdown") {
          held = e.pointerType === "mouse" || e.target === grip;
          plane.setPointerCapture(e.pointerId);
        }
        if (!held && e.type !== "click") return;
        slider.focus({preventScroll: true});
        go(near(xs, (e.clientX - at.left) * scale), near(ys, (e.clientY - at.top) * scale));
      };
      dragged(plane, move);
      plane.addEventListener("click", move);
      return (k) => {
        const [i, j] = place(k);
        box.setAttribute("d", outlines[k].reduce((d, v, n) => d + (n ? n % 2 ? " " : "L" : "M") + v, ""));
        cross.setAttribute("transform", `translate(${xs[i]} ${ys[j]})`);
        grip.style = `left:${100 * xs[i] / side}%;top:${100 * ys[j] / side}%`;
        layer.setAttribute("aria-label", `${text} Click ${say[k]}; ${words[k]}.`);
        return {say: say[k], words: words[k]};
      };
    },
  };

  function wake(root) {
    if (root.classList.contains("wx-on")) return;
    const slider = root.querySelector("input"), readout = root.querySelector(".wx-readout");
    const show = KINDS[root.dataset.kind](root, slider);
    const update = () => {
      const now = show(Number(slider.value));
      slider.setAttribute("aria-valuetext", now.say);
      readout.textContent = [now.say, now.words].filter(Boolean).join(" · ");
      if (now.alt) {
        const heard = make("span", "wx-heard");
        readout.append(" ");
        heard.textContent = now.alt;
        readout.appendChild(heard);
      }
    };
    root.classList.add("wx-on");
    root.querySelector(".wx-controls").hidden = false;
    slider.value = root.dataset.start;
    slider.addEventListener("input", update);
    update();
  }

  const all = () => document.querySelectorAll(".wsss-explore").forEach(wake);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", all);
  all();
})();
