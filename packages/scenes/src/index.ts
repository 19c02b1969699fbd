export { IGNORED, SCENE_CLASSES, type SceneClass } from './classes.ts';
export { type DrawnScene, drawScene, SCENE_KINDS, type SceneKind, type SceneOptions } from './draw-scene.ts';
