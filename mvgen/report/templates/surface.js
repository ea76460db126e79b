"use strict";
// The 3D view: the surface of a clip at the moment of a frame, turned as the camera convention of mvgen has it.
const makeSurface = (canvas, picture) => {
  const context = canvas.getContext("webgl2", { antialias: true });
  if (!context) return null;
  const orange = [232 / 255, 119 / 255, 34 / 255], opacity = 170 / 255, exaggeration = 20, most = 85;
  const renderer = new THREE.WebGLRenderer({ canvas, context });
  const scene = new THREE.Scene(), camera = new THREE.Camera(), turned = new THREE.Group(), about = new THREE.Group();
  const light = new THREE.DirectionalLight(0xffffff, 2.4);
  const photo = new THREE.MeshBasicMaterial(), shape = new THREE.MeshLambertMaterial();
  const unseen = new THREE.MeshBasicMaterial({ vertexColors: true, transparent: true });
  const back = new THREE.MeshBasicMaterial({ side: THREE.BackSide });
  const front = new THREE.Mesh(undefined, photo), marked = new THREE.Mesh(undefined, unseen), behind = new THREE.Mesh(undefined, back);
  let points, lift, liftUnit, projection, yaw = 0, pitch = 0, zoom = 1;

  light.position.set(-0.4, 0.5, 0.77);
  for (const material of [unseen, back]) material.color.setRGB(...orange, THREE.SRGBColorSpace);
  for (const mesh of [front, marked, behind]) mesh.frustumCulled = false;
  about.add(front, marked, behind);
  turned.add(about);
  scene.add(turned, light, new THREE.AmbientLight(0xffffff, 0.5));
  camera.position.set(0, 0, 0);
  renderer.setSize(canvas.width, canvas.height, false);

  function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  }

  // The mark of what the source did not see well is as opaque as the overlay's, and transparent elsewhere.
  function marks(seen) {
    return Float32Array.from({ length: 4 * seen.length }, (_, at) => (at % 4 < 3 ? 1 : seen[Math.floor(at / 4)] ? 0 : opacity));
  }

  function load(data) {
    front.geometry.dispose();
    points = Float32Array.from(new Int16Array(bytes(data.points)), (value) => value * data.unit);
    lift = data.lift && new Int8Array(bytes(data.lift));
    liftUnit = data.liftUnit;
    projection = data.projection;
    const geometry = new THREE.BufferGeometry(), places = new Uint16Array(bytes(data.places));
    geometry.setAttribute("position", new THREE.BufferAttribute(points.slice(), 3));
    geometry.setAttribute("uv", new THREE.BufferAttribute(Float32Array.from(places, (value, at) => (at % 2 ? 1 - value / 65535 : value / 65535)), 2));
    geometry.setAttribute("color", new THREE.BufferAttribute(marks(new Uint8Array(bytes(data.seen))), 4));
    geometry.setIndex(new THREE.BufferAttribute(new Uint16Array(bytes(data.triangles)), 1));
    geometry.computeVertexNormals();
    front.geometry = marked.geometry = behind.geometry = geometry;
    about.position.set(...data.pivot.map((value) => -value));
    turned.position.set(...data.pivot);
    photo.map?.dispose();
    photo.map = new THREE.CanvasTexture(picture);
    photo.map.colorSpace = THREE.SRGBColorSpace;
    photo.needsUpdate = true;
  }

  // Skin moves along the optical axis of the source, as in the rendered views.
  function move(frame, factor) {
    const position = front.geometry.attributes.position, count = points.length / 3;
    for (let at = 0; at < count; at += 1) {
      position.array[3 * at + 2] = points[3 * at + 2] + (lift ? lift[frame * count + at] * liftUnit * factor : 0);
    }
    position.needsUpdate = true;
    front.geometry.computeVertexNormals();
  }

  function paint(frame, shaded, exaggerated) {
    move(frame, exaggerated ? exaggeration : 1);
    photo.map.needsUpdate = true;
    front.material = shaded ? shape : photo;
    turned.rotation.set((pitch * Math.PI) / 180, (-yaw * Math.PI) / 180, 0);
    camera.projectionMatrix.fromArray(projection);
    for (const at of [0, 1, 4, 5, 8, 9, 12, 13]) camera.projectionMatrix.elements[at] *= zoom;
    camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
    renderer.render(scene, camera);
  }

  function turnTo(toYaw, toPitch) {
    yaw = ((((toYaw + 180) % 360) + 360) % 360) - 180;
    pitch = Math.min(Math.max(toPitch, -most), most);
  }

  return {
    load, paint, turnTo,
    zoomTo: (to) => { zoom = to; },
    angles: () => ({ yaw: Math.round(yaw), pitch: Math.round(pitch) }),
  };
};

// The 3D figure and its controls. $ : element by id; redraw : asks for `paint` to be called soon
const makeSurfaceView = ($, redraw) => {
  const canvas = $("surface"), zoom = $("zoom"), surface = makeSurface(canvas, $("source"));
  let clip = null;  // the one on the surface; null where there is none

  function choose(chosen) {
    clip = surface && chosen.surface ? chosen : null;
    canvas.hidden = !clip;
    $("no-surface").hidden = Boolean(clip);
    $("no-surface").textContent = surface ? "This clip has no surface." : "No 3D view: this browser has no WebGL, or it is switched off.";
    for (const control of document.querySelectorAll("#solid input, #solid button")) control.disabled = !clip;
    if (clip) surface.load(clip.surface);
    else $("surface-name").textContent = "";
  }

  // The texture is the picture of the source with its overlay, once that shows the frame.
  function paint(frame) {
    const shown = $("source").dataset;
    if (!clip || shown.clip !== clip.clip || shown.frame !== String(frame)) return;
    surface.paint(frame, $("relief").checked, $("exaggerate").checked);
    canvas.dataset.frame = frame;
    canvas.dataset.angles = Object.values(surface.angles()).join(" ");
  }

  function turnTo(yaw, pitch) {
    surface.turnTo(yaw, pitch);
    const [across, up] = Object.values(surface.angles()).map((value) => `${value > 0 ? "+" : ""}${value}°`.replace("-", "−"));
    $("surface-name").textContent = `3D, yaw ${across}, pitch ${up}`;
    canvas.ariaLabel = `The surface of subject ${clip.subject} in 3D, from yaw ${across}, pitch ${up}. Arrows turn it, plus and minus zoom, 0 faces it.`;
    redraw();
  }

  function turn(right, up) {
    const { yaw, pitch } = surface.angles();
    turnTo(yaw + right, pitch + up);
  }

  function zoomBy(step) {
    zoom.value = Number(zoom.value) + step;
    surface.zoomTo(Number(zoom.value));
    redraw();
  }

  const front = () => turnTo(0, 0);
  const keys = {
    ArrowLeft: () => turn(-5, 0), ArrowRight: () => turn(5, 0), ArrowUp: () => turn(0, 5), ArrowDown: () => turn(0, -5),
    "+": () => zoomBy(0.25), "=": () => zoomBy(0.25), "-": () => zoomBy(-0.25), 0: front,
  };
  canvas.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); event.stopPropagation(); act(); }
  });

  // Dragging turns it about both axes: half the width is a quarter of a turn.
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    from = { x: event.clientX, y: event.clientY, ...surface.angles() };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const degree = canvas.clientWidth / 180;
    turnTo(from.yaw + (from.x - event.clientX) / degree, from.pitch + (event.clientY - from.y) / degree);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
  zoom.addEventListener("input", () => zoomBy(0));
  $("face").addEventListener("click", front);
  for (const control of [$("relief"), $("exaggerate")]) control.addEventListener("input", redraw);

  // It follows the views until it is turned by itself.
  return { choose, paint, follow: (yaw) => clip && turnTo(yaw, 0) };
};
