import { type Piece, resize, runAtOnce, runInPieces } from '@rass/kernels';
import type { FeaturePyramid, Mask2FormerOutput } from '@rass/mask2former';
import {
  add,
  dispose,
  div,
  matMul,
  pad,
  reshape,
  reverse,
  sigmoid,
  slice,
  softmax,
  type Tensor3D,
  type Tensor4D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import {
  inWindow,
  placeOf,
  SHORTEST_SIDE,
  SIDE_MULTIPLE,
  slidingWork,
  squareWindows,
  type Window,
  WindowMean,
} from './windows.ts';

/** A backbone and a head. */
export interface Segmenter {
  /** The window tells which part of the padded image this is, where it is not the whole. */
  features(image_BHWC: Tensor4D, window?: Window): FeaturePyramid;
  head(features: FeaturePyramid): Mask2FormerOutput;
}

export interface SemanticInferenceOptions {
  /** `sliding` (default): square windows of the shorter side. `whole`: the image at once. */
  readonly mode?: 'sliding' | 'whole';
  /** What is averaged where windows overlap: `features` (default), as RASS does, with one pass of the head, or `scores`, with one for each. */
  readonly average?: 'features' | 'scores';
  /** Also the image at these sizes, averaged; default [1]. */
  readonly scales?: readonly number[];
  /** Also the image's mirror image, averaged; default false. */
  readonly flip?: boolean;
  /** Sides are padded to multiples of this, itself one of 8; default 8, as the released RASS has it. They are 32 at least. */
  readonly multiple?: number;
}

/** Black, of images in [-1, 1]. */
const BLACK = -1;

const paddedSide = (side: number, multiple: number): number =>
  Math.ceil(Math.max(side, SHORTEST_SIDE) / multiple) * multiple;

/** Pads an image at the bottom and the right, to 32 rows and columns at least. @shape [B, H, W, C] -> [B, H', W', C], multiples
 * @source detectron2 ImageList.from_tensors, on images from 0 up: upstream pads with black */
export function padImage(
  image_BHWC: Tensor4D,
  { multiple, value = BLACK }: { readonly multiple: number; readonly value?: number },
): Tensor4D {
  const [, H, W] = image_BHWC.shape;
  const [below, right] = [H, W].map((side) => paddedSide(side, multiple) - side);
  return pad(
    image_BHWC,
    [
      [0, 0],
      [0, below],
      [0, right],
      [0, 0],
    ],
    value,
  );
}

/** How much each pixel is of each class: the queries' class probabilities times their masks, summed.
 * @shape output of [B, Q, V + 1] and [B, Q, h, w] -> [B, H, W, V], from 0 up @source Mask2Former semantic_inference */
export function semanticScores(output: Mask2FormerOutput, [H, W]: readonly [number, number]): Tensor4D {
  return tidy(() => {
    const { classQueriesLogits, masksQueriesLogits } = output;
    const [B, Q, labels] = classQueriesLogits.shape;
    const masks_BhwQ = transpose(masksQueriesLogits, [0, 2, 3, 1]) as Tensor4D;
    const shares = reshape(sigmoid(resize(masks_BhwQ, [H, W], 'bilinear')), [B, H * W, Q]) as Tensor3D;
    const classes = slice(softmax(classQueriesLogits), [0, 0, 0], [B, Q, labels - 1]);
    return reshape(matMul(shares, classes), [B, H, W, labels - 1]) as Tensor4D;
  });
}

/** The head's scores of features, which are freed. */
function scored({ head }: Segmenter, features: FeaturePyramid, size: readonly [number, number]): Tensor4D {
  try {
    return tidy(() => semanticScores(head(features), size));
  } finally {
    dispose({ ...features });
  }
}

/** The scores of an image whose sides fit. */
function* paddedScores(
  s: Segmenter,
  image_BHWC: Tensor4D,
  o: SemanticInferenceOptions,
): Generator<Piece, Tensor4D, void> {
  const [, H, W] = image_BHWC.shape;
  const { mode = 'sliding', average = 'features' } = o;
  // A square is its only window.
  if (mode === 'whole' || H === W) return scored(s, s.features(image_BHWC), [H, W]);
  if (average === 'features') {
    const features = yield* slidingWork(image_BHWC, (part, window) => s.features(part, window));
    return scored(s, features, [H, W]);
  }
  const mean = new WindowMean(H, W);
  try {
    for (const window of squareWindows({ height: H, width: W })) {
      const features = inWindow(image_BHWC, window, (part) => s.features(part, window));
      mean.add(scored(s, features, [window.size, window.size]), placeOf(window));
      yield { made: mean.sum! };
    }
    return mean.finish();
  } finally {
    mean.dispose();
  }
}

/** The scores of an image at one of the sizes, or of its mirror image, brought back to the image's own. */
function* viewScores(
  s: Segmenter,
  image: Tensor4D,
  scale: number,
  mirrored: boolean,
  o: SemanticInferenceOptions,
): Generator<Piece, Tensor4D, void> {
  const [B, H, W] = image.shape;
  const size = [Math.max(1, Math.round(H * scale)), Math.max(1, Math.round(W * scale))] as const;
  const padded = tidy(() => {
    const turned = mirrored ? (reverse(image, 2) as Tensor4D) : image;
    return padImage(scale === 1 ? turned : resize(turned, size, 'bilinear'), {
      multiple: o.multiple ?? SIDE_MULTIPLE,
    });
  });
  const held = [padded];
  try {
    const scores = yield* paddedScores(s, padded, o);
    held.push(scores);
    return tidy(() => {
      const own = slice(scores, [0, 0, 0, 0], [B, size[0], size[1], scores.shape[3]]);
      const back = scale === 1 ? own : resize(own, [H, W], 'bilinear');
      scores.dispose();
      return mirrored ? (reverse(back, 2) as Tensor4D) : back;
    });
  } finally {
    dispose(held);
  }
}

function check({ scales = [1], multiple = SIDE_MULTIPLE }: SemanticInferenceOptions, image: Tensor4D): void {
  if (image.rank !== 4 || image.shape.some((size) => size === 0)) {
    throw new Error(`semanticInference: an image is [B, H, W, 3]; got [${image.shape}]; give one that has pixels`);
  }
  if (scales.length === 0 || scales.some((scale) => !(scale > 0 && Number.isFinite(scale)))) {
    throw new Error(`semanticInference: scales are numbers above 0, at least one; got [${scales}]; [1] is usual`);
  }
  if (!Number.isInteger(multiple) || multiple % SIDE_MULTIPLE !== 0 || multiple <= 0) {
    throw new Error(
      `semanticInference: sides are padded to a multiple of ${SIDE_MULTIPLE}; got ${multiple}; ${SIDE_MULTIPLE} is usual`,
    );
  }
}

/** View by view, window by window. */
function* inferenceWork(
  segmenter: Segmenter,
  image_BHWC: Tensor4D,
  options: SemanticInferenceOptions,
): Generator<Piece, Tensor4D, void> {
  const { scales = [1], flip = false } = options;
  const views = scales.flatMap((scale) => (flip ? [false, true] : [false]).map((mirrored) => ({ scale, mirrored })));
  // The sum so far, and before it is added the next view's scores.
  let held: Tensor4D[] = [];
  try {
    for (const { scale, mirrored } of views) {
      held.push(yield* viewScores(segmenter, image_BHWC, scale, mirrored, options));
      const [before, scores] = held;
      if (scores !== undefined) {
        const sum: Tensor4D = add(before, scores);
        dispose(held);
        held = [sum];
      }
      yield { made: held[0] };
    }
    const [total] = held;
    if (views.length > 1) return div(total, views.length) as Tensor4D;
    held = [];
    return total;
  } finally {
    dispose(held);
  }
}

/** In how many pieces the work goes: the windows of each view, and the view itself. */
function countPieces([, H, W]: readonly number[], options: SemanticInferenceOptions): number {
  const { scales = [1], flip = false, mode = 'sliding', multiple = SIDE_MULTIPLE } = options;
  const sum = scales.reduce((before, scale) => {
    const [h, w] = [H!, W!].map((side) => paddedSide(Math.round(side * scale), multiple)) as [number, number];
    return before + 1 + (mode === 'whole' || h === w ? 0 : squareWindows({ height: h, width: w }).length);
  }, 0);
  return sum * (flip ? 2 : 1);
}

/** How far the windows of all views have come. */
export interface InferenceProgress {
  readonly done: number;
  readonly pieces: number;
}

/** How a segmentation is stopped, and told of. */
export interface AsyncInferenceOptions extends SemanticInferenceOptions {
  readonly signal?: AbortSignal;
  readonly onPiece?: (progress: InferenceProgress) => void;
}

/** How much each pixel is of each class, by square windows, over several sizes and the mirror image where asked for.
 * @shape image [B, H, W, 3] in [-1, 1] -> [B, H, W, V]; the largest is the class
 * @throws when the image or an option does not fit @source github.com/Ka1Guan/RASS; mmseg, test-time augmentation */
export function semanticInference(
  segmenter: Segmenter,
  image_BHWC: Tensor4D,
  options: SemanticInferenceOptions = {},
): Tensor4D {
  check(options, image_BHWC);
  return runAtOnce(inferenceWork(segmenter, image_BHWC, options));
}

/** semanticInference with a pause after each window and each view, in which a page stays alive and the signal can stop it.
 * @throws also the signal's reason; nothing is left behind then */
export async function semanticInferenceAsync(
  segmenter: Segmenter,
  image_BHWC: Tensor4D,
  { signal, onPiece, ...options }: AsyncInferenceOptions = {},
): Promise<Tensor4D> {
  check(options, image_BHWC);
  const pieces = countPieces(image_BHWC.shape, options);
  return runInPieces(inferenceWork(segmenter, image_BHWC, options), {
    ...(signal && { signal }),
    onPiece: (_, done) => onPiece?.({ done, pieces }),
  });
}
