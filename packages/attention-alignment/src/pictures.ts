import { checkOptions, finite, listOf, type OptionRules, oneOf, whole } from '@rass/kernels/options';
import type { Size } from './maps.ts';
import { IGNORE_LABEL, type LabelMap } from './masks.ts';

/** Pixels as canvases and PNG writers take them: red, green, blue and alpha from 0 to 255, row by row. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

type Colour = readonly [red: number, green: number, blue: number];

/** Eleven colours of equal distance along matplotlib's `inferno` (CC0), between which the others are mixed. */
const INFERNO: readonly Colour[] = [
  [0, 0, 4],
  [22, 11, 57],
  [66, 10, 104],
  [106, 23, 110],
  [147, 38, 103],
  [188, 55, 84],
  [221, 81, 58],
  [243, 120, 25],
  [252, 165, 10],
  [246, 215, 70],
  [252, 255, 164],
];

/** A colour for a share in [0, 1], from black over red to pale yellow. */
export function heatColour(share: number): Colour {
  const at = Math.min(1, Math.max(0, share)) * (INFERNO.length - 1);
  const low = Math.min(INFERNO.length - 2, Math.floor(at));
  const part = at - low;
  const [a, b] = [INFERNO[low], INFERNO[low + 1]];
  return [0, 1, 2].map((i) => Math.round(a[i] + (b[i] - a[i]) * part)) as unknown as Colour;
}

export interface HeatMapOptions {
  /** Rows and columns of the picture; default the map's. */
  size?: Size;
  /** Shown as the hottest; default the map's largest value. */
  max?: number;
  /** Between the map's cells: `linear` (default) or hard edges. */
  smooth?: 'linear' | 'none';
  /** Of the picture, the first and the one after the last that are made; default all. */
  rows?: readonly [first: number, end: number];
}

/** Cells before and after a pixel's middle, and how far it is between them. */
function between(pixel: number, pixels: number, cells: number): [low: number, high: number, part: number] {
  const at = Math.min(cells - 1, Math.max(0, ((pixel + 0.5) * cells) / pixels - 0.5));
  const low = Math.floor(at);
  return [low, Math.min(cells - 1, low + 1), at - low];
}

/** A map at another size, or some rows of it. */
export function resizeMap(
  values: ArrayLike<number>,
  from: Size,
  to: Size,
  smooth: 'linear' | 'none' = 'linear',
  { rows: [first, end] = [0, to[0]] }: Pick<HeatMapOptions, 'rows'> = {},
): Float32Array {
  const [[rows, columns], [height, width]] = [from, to];
  if (values.length !== rows * columns) {
    throw new Error(
      `attention-alignment: a map has its rows x columns, ${rows} x ${columns}; got ${values.length} values; give the size of the map`,
    );
  }
  const out = new Float32Array((end - first) * width);
  for (let y = first; y < end; y++) {
    const [top, bottom, down] = between(y, height, rows);
    const row = Math.floor((y * rows) / height);
    const at = (y - first) * width;
    for (let x = 0; x < width; x++) {
      if (smooth === 'none') {
        out[at + x] = values[row * columns + Math.floor((x * columns) / width)];
        continue;
      }
      const [left, right, across] = between(x, width, columns);
      const upper = values[top * columns + left] * (1 - across) + values[top * columns + right] * across;
      const lower = values[bottom * columns + left] * (1 - across) + values[bottom * columns + right] * across;
      out[at + x] = upper * (1 - down) + lower * down;
    }
  }
  return out;
}

const HEAT_MAP_OPTIONS_RULES: OptionRules<HeatMapOptions> = {
  size: listOf(whole(1)),
  max: finite,
  smooth: oneOf('linear', 'none'),
  rows: listOf(whole(0)),
};

/** A map in colours. @throws when the values are not as many as the size says */
export function heatMap(values: ArrayLike<number>, size: Size, options: HeatMapOptions = {}): Picture {
  checkOptions('heatMap', options, HEAT_MAP_OPTIONS_RULES);
  const { size: [height, width] = size, smooth = 'linear', rows = [0, height] } = options;
  const shown = resizeMap(values, size, [height, width], smooth, { rows });
  const top = options.max ?? shown.reduce((a, b) => Math.max(a, b), 0);
  const data = new Uint8ClampedArray(shown.length * 4);
  shown.forEach((value, i) => {
    data.set([...heatColour(top > 0 ? value / top : 0), 255], 4 * i);
  });
  return { width, height: rows[1] - rows[0], data };
}

/** A heat map over a photograph. `opacity` is the heat's share of the colour. @throws when the sizes differ */
export function overlay(photograph: Picture, heat: Picture, opacity = 0.6): Picture {
  const { width, height, data } = photograph;
  if (heat.width !== width || heat.height !== height) {
    throw new Error(
      `attention-alignment: pictures that are laid over each other have one size; got ${width} x ${height} and ${heat.width} x ${heat.height}; make the heat map with { size: [${height}, ${width}] }`,
    );
  }
  const mixed = data.map((value, i) =>
    i % 4 === 3 ? value : Math.round(value * (1 - opacity) + heat.data[i] * opacity),
  );
  return { width, height, data: mixed as Picture['data'] };
}

const GRID_RULES: OptionRules<{ readonly columns: number; readonly gap?: number }> = {
  columns: whole(1),
  gap: whole(0),
};

/** Pictures of one size side by side, in rows of `columns`, with a gap of white. @throws when there is none, or the sizes differ */
export function grid(
  pictures: readonly Picture[],
  options: { readonly columns: number; readonly gap?: number },
): Picture {
  checkOptions('grid', options, GRID_RULES);
  const { columns, gap = 4 } = options;
  const [first] = pictures;
  const other = pictures.find(({ width, height }) => width !== first.width || height !== first.height);
  if (first === undefined || other !== undefined) {
    const got =
      first === undefined ? 'none' : `${first.width} x ${first.height} and ${other?.width} x ${other?.height}`;
    throw new Error(`attention-alignment: a grid is of pictures of one size; got ${got}; resize them first`);
  }
  const rows = Math.ceil(pictures.length / columns);
  const width = columns * first.width + (columns - 1) * gap;
  const height = rows * first.height + (rows - 1) * gap;
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  pictures.forEach((picture, i) => {
    const left = (i % columns) * (first.width + gap);
    const top = Math.floor(i / columns) * (first.height + gap);
    for (let y = 0; y < first.height; y++) {
      const row = picture.data.subarray(4 * y * first.width, 4 * (y + 1) * first.width);
      data.set(row, 4 * ((top + y) * width + left));
    }
  });
  return { width, height, data };
}

/** Colours that are told apart, one for each class. Ignored pixels are black. */
export function labelPicture({ size: [height, width], labels }: LabelMap, ignore = IGNORE_LABEL): Picture {
  const data = new Uint8ClampedArray(height * width * 4);
  for (let i = 0; i < height * width; i++)
    data.set([...(labels[i] === ignore ? [0, 0, 0] : classColour(labels[i])), 255], 4 * i);
  return { width, height, data };
}

/** Hues a golden angle apart, so that any number of classes differ. */
function classColour(label: number): Colour {
  const hue = ((label * 137.508) % 360) / 60;
  const part = 1 - Math.abs((hue % 2) - 1);
  const channels = [
    [1, part, 0],
    [part, 1, 0],
    [0, 1, part],
    [0, part, 1],
    [part, 0, 1],
    [1, 0, part],
  ][Math.floor(hue)];
  return channels.map((value) => Math.round(60 + 180 * value)) as unknown as Colour;
}
