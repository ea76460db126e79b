// What the page uses of three.js. README.md tells how three.min.js is made of it.
export {
  AmbientLight, BackSide, BufferAttribute, BufferGeometry, Camera, CanvasTexture, DirectionalLight, Group, Mesh,
  MeshBasicMaterial, MeshLambertMaterial, Scene, SRGBColorSpace, WebGLRenderer,
} from "three";
