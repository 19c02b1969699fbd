export { SCENE_CLASSES, type SceneClass } from './classes.ts';
export { type DrawnScene, drawScene, type SceneOptions } from './draw-scene.ts';
