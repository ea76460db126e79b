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
    turnBy: (right, up) => turnTo(yaw + right, pitch + up),
    zoomTo: (to) => { zoom = to; },
    angles: () => ({ yaw: Math.round(yaw), pitch: Math.round(pitch) }),
  };
};
