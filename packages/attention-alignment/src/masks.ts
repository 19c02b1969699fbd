import { checkOptions, finite, type OptionRules, oneOf, whole } from '@rass/kernels/options';
import { type Tensor2D, type Tensor3D, tensor2d, tensor3d } from '@tensorflow/tfjs-core';
import type { Size } from './maps.ts';

/** A label map of one sample, row by row. */
export interface LabelMap {
  readonly size: Size;
  readonly labels: ArrayLike<number>;
}

/** How a mask is brought to the size of a map: the share of each cell (default), the label at its upper left (as PyTorch's `nearest` has it), or any pixel of it. */
export type MaskResize = 'area' | 'nearest' | 'any';

export interface MaskOptions {
  resize?: MaskResize;
  /** The label that means nothing; default 255. */
  ignore?: number;
  /** How many cells of a map a class must fill to count there; default 0.5. @source CODSR, arXiv 2512.14061 */
  minCells?: number;
  /** Labels are below this, but for the ignored one. Unset: any. */
  classes?: number;
}

/** Masks at the size of a map. Tensors are the caller's. */
export interface LevelMasks {
  readonly size: Size;
  /** [B, L, I], the share of a cell that is of a tag's class, in [0, 1] */
  readonly masks: Tensor3D;
  /** [B, L], the share that has a label */
  readonly visible: Tensor2D;
  /** [B, I], 1 where a tag is there and its class large enough */
  readonly valid: Tensor2D;
}

export const IGNORE_LABEL = 255;
const MIN_CELLS = 0.5;

function checkLabels(
  { size, labels }: LabelMap,
  sample: number,
  { ignore = IGNORE_LABEL, classes }: MaskOptions,
): void {
  const [height, width] = size;
  if (labels.length !== height * width) {
    throw new Error(
      `attention-alignment: a label map has its rows x columns, ${height} x ${width}; got ${labels.length} labels in sample ${sample}; give the size of the map`,
    );
  }
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i];
    const inRange =
      Number.isInteger(label) && label >= 0 && (classes === undefined || label < classes || label === ignore);
    if (inRange) continue;
    throw new Error(
      `attention-alignment: labels are whole numbers from 0${classes === undefined ? ' up' : ` to ${classes - 1}, or ${ignore}`}; got ${label} at ${i} of sample ${sample}; look at the label map`,
    );
  }
}

/** The pixels that a cell is of, along one side: all of its own, or the first.
 * @source torch interpolate(mode='area') and (mode='nearest') */
function pixelsOf(cell: number, cells: number, pixels: number, resize: MaskResize): [from: number, to: number] {
  const from = Math.floor((cell * pixels) / cells);
  return [from, resize === 'nearest' ? from + 1 : Math.ceil(((cell + 1) * pixels) / cells)];
}

interface Cells {
  /** By class: the share of each cell. */
  readonly shares: ReadonlyMap<number, Float32Array>;
  readonly visible: Float32Array;
}

function shareCells(
  { size: [height, width], labels }: LabelMap,
  [rows, columns]: Size,
  classes: readonly number[],
  { resize = 'area', ignore = IGNORE_LABEL }: MaskOptions,
): Cells {
  const shares = new Map(classes.map((label) => [label, new Float32Array(rows * columns)]));
  const visible = new Float32Array(rows * columns);
  for (let cell = 0; cell < visible.length; cell++) {
    const [top, bottom] = pixelsOf(Math.floor(cell / columns), rows, height, resize);
    const [left, right] = pixelsOf(cell % columns, columns, width, resize);
    const part = 1 / ((bottom - top) * (right - left));
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const label = labels[y * width + x];
        if (label === ignore) continue;
        visible[cell] += part;
        const share = shares.get(label);
        if (share !== undefined) share[cell] += part;
      }
    }
  }
  return { shares, visible };
}

function cellsOf(map: LabelMap, size: Size, classes: readonly number[], options: MaskOptions): Cells {
  const cells = shareCells(map, size, classes, options);
  if (options.resize !== 'any') return cells;
  const whole = (share: Float32Array): Float32Array => share.map((value) => (value > 0 ? 1 : 0));
  const shares = new Map([...cells.shares].map(([label, share]) => [label, whole(share)]));
  return { shares, visible: whole(cells.visible) };
}

const MASK_OPTIONS_RULES: OptionRules<MaskOptions> = {
  resize: oneOf('area', 'nearest', 'any'),
  ignore: finite,
  minCells: finite,
  classes: whole(1),
};

/** Masks of each tag's class at the size of a map, from label maps with ignored pixels.
 * `classes`: the class of each tag, for each sample, in the order of the tags. A class that fills less than `minCells` does not count.
 * @shape labels [H, W] each -> masks [B, L, I], visible [B, L], valid [B, I] @throws when labels are out of range or sizes differ */
export function levelMasks(
  labelMaps: readonly LabelMap[],
  classes: readonly (readonly number[])[],
  size: Size,
  options: MaskOptions = {},
): LevelMasks {
  checkOptions('levelMasks', options, MASK_OPTIONS_RULES);
  if (labelMaps.length !== classes.length) {
    throw new Error(
      `attention-alignment: each sample has a label map; got ${labelMaps.length} label maps and classes of ${classes.length}; give one each`,
    );
  }
  const { minCells = MIN_CELLS, ignore = IGNORE_LABEL } = options;
  const [B, L] = [labelMaps.length, size[0] * size[1]];
  const most = Math.max(1, ...classes.map((each) => each.length));
  const masks = new Float32Array(B * L * most);
  const visible = new Float32Array(B * L);
  const valid = new Float32Array(B * most);
  labelMaps.forEach((map, b) => {
    checkLabels(map, b, { ...options, ignore });
    const cells = cellsOf(map, size, classes[b], options);
    visible.set(cells.visible, b * L);
    classes[b].forEach((label, i) => {
      const share = cells.shares.get(label) as Float32Array;
      const filled = share.reduce((total, value) => total + value, 0);
      if (filled < minCells) return;
      valid[b * most + i] = 1;
      for (let cell = 0; cell < L; cell++) masks[(b * L + cell) * most + i] = share[cell];
    });
  });
  return {
    size,
    masks: tensor3d(masks, [B, L, most]),
    visible: tensor2d(visible, [B, L]),
    valid: tensor2d(valid, [B, most]),
  };
}

/** The classes that stand in a label map, the largest first: what a prompt of labels is made of. */
export function presentClasses({ labels }: LabelMap, ignore = IGNORE_LABEL): number[] {
  const counts = new Map<number, number>();
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] !== ignore) counts.set(labels[i], (counts.get(labels[i]) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).map(([label]) => label);
}
