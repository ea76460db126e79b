"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const blocks = document.querySelectorAll("script.clip");
  const stage = $("stage"), yaw = $("yaw"), frame = $("frame"), chooser = $("clip"), play = $("play");
  const layerChoices = [...document.querySelectorAll("input[name=layer]")];
  const pictures = new Map();  // data URI -> image, of the current clip
  const solid = makeSurfaceView($, () => draw());
  let clip, playing = false, last = 0, due = 0, waiting = false;

  const percent = (share) => `${Math.round(share * 100)} %`;
  const layer = () => layerChoices.find((choice) => choice.checked).value;
  const view = () => clip.views[yaw.value];

  function picture(uri) {
    if (!pictures.has(uri)) {
      const image = new Image();
      image.addEventListener("load", draw);
      image.src = uri;
      pictures.set(uri, image);
    }
    return pictures.get(uri);
  }

  // Draw at most once per screen refresh, however many events request it.
  function draw() {
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(() => { waiting = false; paint($("view"), view()); paint($("source"), clip.source); solid.paint(Number(frame.value)); });
    }
  }

  function paint(canvas, shown) {
    const sheet = picture(shown.sheet), over = layer() && picture(shown.layers[layer()]);
    if (!sheet.complete || (over && !over.complete)) return;
    const side = clip.side, index = Number(frame.value), context = canvas.getContext("2d");
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const left = (index % clip.columns) * side, top = Math.floor(index / clip.columns) * side;
    context.drawImage(sheet, left, top, side, side, 0, 0, side, side);
    if (over) context.drawImage(over, 0, 0, side, side);  // some layers are smaller than the frames
    canvas.dataset.frame = index;
    canvas.dataset.clip = clip.clip;
    canvas.dataset.view = shown.name;
    canvas.dataset.layer = layer();
  }

  function update() {
    const shown = view(), index = Number(frame.value);
    const named = [["onset", clip.onset], ["apex", clip.apex], ["offset", clip.offset]];
    const moment = named.filter(([, at]) => at === index).map(([name]) => name).join(", ");
    $("yaw-value").textContent = yaw.ariaValueText = shown.name;
    $("view-name").textContent = `yaw ${shown.name}${moment && ` · ${moment}`}`;
    $("frame-value").textContent = $("frame-value").title = clip.frames[index];
    frame.ariaValueText = `${clip.frames[index]}${moment && `, ${moment}`}`;
    $("view").ariaLabel = `Subject ${clip.subject}, ${clip.emotion}, from yaw ${shown.name}`;
    const kept = clip.split === "train" ? (shown.kept ? "kept" : "not kept") : "kept for testing";
    const status = `${shown.name} sees ${percent(shown.seen)} of the attention; ${percent(shown.valid)} of its surface is valid; ${kept}`;
    if ($("status").textContent !== status) $("status").textContent = status;
    for (const legend of document.querySelectorAll("#legends p")) legend.hidden = legend.dataset.layer !== layer();
    $("source-figure").hidden = !$("beside").checked;
    for (const line of document.querySelectorAll(".signals:not([hidden]) .cursor")) line.setAttribute("transform", `translate(${272 * clip.places[index]} 0)`);
    for (const now of document.querySelectorAll(".signals:not([hidden]) [data-values]")) now.textContent = `${now.dataset.values.split(" ")[clip.positions[index]].replace("-", "−")} of `;
    draw();
  }

  // Labels below a slider; those too close to their neighbour go one line down, those at the ends stay inside.
  function mark(element, marks, count) {
    let before = -1, lower = false;
    element.replaceChildren(...marks.map(([text, at]) => {
      const place = count > 1 ? at / (count - 1) : 0.5, label = document.createElement("span");
      lower = !lower && before >= 0 && place - before < 0.2;
      before = place;
      label.textContent = text;
      label.style.left = `${place * 100}%`;
      label.style.top = lower ? "1.1em" : "0";
      label.style.transform = `translateX(${-(place < 0.1 ? 0 : place > 0.9 ? 1 : 0.5) * 100}%)`;
      return label;
    }));
  }

  function choose(index) {
    const angle = clip ? view().yaw : 25;
    chooser.value = index;
    clip = JSON.parse(blocks[index].textContent);
    pictures.clear();
    for (const each of document.querySelectorAll(".signals")) each.hidden = each.dataset.clip !== String(index);
    const off = clip.views.map((each) => Math.abs(each.yaw - angle));
    yaw.max = clip.views.length - 1;
    yaw.value = off.indexOf(Math.min(...off));
    frame.max = clip.frames.length - 1;
    frame.value = clip.apex;
    const ends = clip.views.map((each, at) => [each.name, at]), middle = ends[Math.floor(ends.length / 2)];
    mark($("yaw-ticks"), ends.length % 2 && ends.length > 2 ? [ends[0], middle, ends.at(-1)] : [...new Set([ends[0], ends.at(-1)])], ends.length);
    const moments = new Map();
    for (const name of ["onset", "apex", "offset"]) moments.set(clip[name], [...(moments.get(clip[name]) || []), name]);
    mark($("frame-ticks"), [...moments].sort(([a], [b]) => a - b).map(([at, names]) => [names.join(", ") + (clip.estimated && at === clip.apex ? ", estimated" : ""), at]), clip.frames.length);
    for (const name of ["far", "near", "longest"]) document.querySelector(`[data-scale=${name}]`).textContent = clip[name].toFixed(2);
    for (const shown of [...clip.views, clip.source]) picture(shown.sheet);
    solid.choose(clip);
    solid.follow(view().yaw);
    update();
  }

  const within = (value, count) => (value + count) % count;
  function step(slider, by) { slider.value = Number(slider.value) + by; if (slider === yaw) solid.follow(view().yaw); update(); }
  function turnClip(by) { choose(within(Number(chooser.value) + by, blocks.length)); }
  function stepFrame(by) { frame.value = within(Number(frame.value) + by, clip.frames.length); update(); }

  function setPlaying(on) {
    playing = on;
    play.textContent = on ? "Pause" : "Play";
    play.ariaPressed = String(on);
    last = performance.now();
    due = 0;
    if (on) requestAnimationFrame(tick);
  }

  // A frame is shown for its original duration, divided by the chosen speed; the last as long as the first.
  function tick(now) {
    if (!playing) return;
    due += ((now - last) / 1000) * Number($("speed").value);
    last = now;
    const stay = (index) => {
      const at = index + 1 < clip.seconds.length ? index : 0;
      return at + 1 < clip.seconds.length ? clip.seconds[at + 1] - clip.seconds[at] : 1;
    };
    let index = Number(frame.value), moved = false;
    for (let left = clip.frames.length; due >= stay(index) && left > 0; left -= 1) {
      due -= stay(index);
      index = within(index + 1, clip.frames.length);
      moved = true;
    }
    if (moved) { frame.value = index; update(); }
    requestAnimationFrame(tick);
  }

  const keys = {
    ArrowLeft: () => step(yaw, -1), ArrowRight: () => step(yaw, 1), Home: () => step(yaw, -yaw.max), End: () => step(yaw, Number(yaw.max)),
    " ": () => setPlaying(!playing), ",": () => stepFrame(-1), ".": () => stepFrame(1), "[": () => turnClip(-1), "]": () => turnClip(1),
    c: () => { $("beside").checked = !$("beside").checked; update(); },
  };
  layerChoices.forEach((choice, index) => { keys[index + 1] = () => { choice.checked = true; update(); }; });
  stage.addEventListener("keydown", (event) => {
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); act(); }
  });

  // Dragging turns the head: to the right, it shows its other side.
  let from = null;
  const surface = $("view");
  surface.addEventListener("pointerdown", (event) => { from = { x: event.clientX, at: Number(yaw.value) }; surface.setPointerCapture(event.pointerId); });
  surface.addEventListener("pointermove", (event) => {
    if (from === null) return;
    yaw.value = from.at - Math.round(((event.clientX - from.x) / surface.clientWidth) * clip.views.length);
    solid.follow(view().yaw);
    update();
  });
  for (const end of ["pointerup", "pointercancel"]) surface.addEventListener(end, () => { from = null; });

  // A click into a chart of curves goes to the frame there: the slider does the same for keys.
  for (const line of document.querySelectorAll(".signals .cursor")) {
    const chart = line.ownerSVGElement;
    chart.addEventListener("click", (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(line.parentNode.getScreenCTM().inverse()).x / 272;
      const off = clip.places.map((each) => Math.abs(each - place));
      frame.value = off.indexOf(Math.min(...off));
      update();
    });
  }
  yaw.addEventListener("input", () => solid.follow(view().yaw));
  for (const control of [yaw, frame, $("beside"), ...layerChoices]) control.addEventListener("input", update);
  chooser.addEventListener("input", () => choose(Number(chooser.value)));
  $("previous").addEventListener("click", () => turnClip(-1));
  $("next").addEventListener("click", () => turnClip(1));
  play.addEventListener("click", () => setPlaying(!playing));
  choose(Number(chooser.value));
})();
