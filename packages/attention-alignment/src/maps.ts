import { anything, checkOptions, listOf, type OptionRules, oneOf, text, whole } from '@rass/kernels/options';
import { closest } from '@rass/nn';
import {
  add,
  concat,
  div,
  expandDims,
  gather,
  matMul,
  max,
  mean,
  mul,
  reshape,
  softmax,
  sum,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor1d,
  tensor3d,
  tensor4d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { TagPositions } from './prompts.ts';

/** Keeps a quotient finite where nothing is attended to. */
const EPSILON = 1e-6;

export type Place = 'down' | 'mid' | 'up';

/** Which attentions count. What is left out does not narrow the choice. */
export interface MapChoice {
  places?: readonly Place[];
  /** Starts of paths: `up_blocks.1`, `up_blocks.2.attentions.0`. */
  blocks?: readonly string[];
  /** How often the latents have been halved: 0 for maps of their size, 1 for half of it. */
  levels?: readonly number[];
}

const PLACES: readonly (readonly [start: string, place: Place])[] = [
  ['down_blocks.', 'down'],
  ['mid_block', 'mid'],
  ['up_blocks.', 'up'],
];

/** @throws when a name says no place */
function placeOf(name: string): Place {
  const found = PLACES.find(([start]) => name.startsWith(start));
  if (found !== undefined) return found[1];
  throw new Error(
    `attention-alignment: attentions are named as in the UNet, down_blocks..., mid_block... or up_blocks...; got "${name}"; see attentionNames of @rass/unet`,
  );
}

const startsWith = (name: string, block: string): boolean => name === block || name.startsWith(`${block}.`);

const MAP_CHOICE_RULES: OptionRules<MapChoice> = {
  places: listOf(oneOf('down', 'mid', 'up')),
  blocks: listOf(text),
  levels: listOf(whole(0)),
};

/** The names that a choice means, of those that a UNet has; levels are told by the maps themselves.
 * @throws when nothing is chosen, or a block has no attention */
export function chooseMaps(names: readonly string[], options: MapChoice = {}): string[] {
  checkOptions('chooseMaps', options, MAP_CHOICE_RULES);
  const { places, blocks } = options;
  const lost = blocks?.find((block) => !names.some((name) => startsWith(name, block)));
  if (lost !== undefined) {
    const starts = names.flatMap((name) => name.split('.').map((_, i, steps) => steps.slice(0, i + 1).join('.')));
    throw new Error(
      `attention-alignment: each block has attentions; got "${lost}"; closest: ${closest(lost, [...new Set(starts)], 2).join(', ')}`,
    );
  }
  const chosen = names.filter(
    (name) => (places?.includes(placeOf(name)) ?? true) && (blocks?.some((block) => startsWith(name, block)) ?? true),
  );
  if (chosen.length > 0) return chosen;
  throw new Error(
    `attention-alignment: at least one map is chosen; got none of ${names.length} by places [${places ?? ''}] and blocks [${blocks ?? ''}]; choose others`,
  );
}

/** Rows and columns of a map. */
export type Size = readonly [height: number, width: number];

/** Halving leaves the larger half. */
const halved = ([height, width]: Size): Size => [Math.ceil(height / 2), Math.ceil(width / 2)];

const MAX_LEVELS = 8;

/** Which level has so many pixels, and its size. The sizes come from the latents, for images that are not square.
 * @throws when no level has */
export function levelOf(pixels: number, latents: Size): { level: number; size: Size } {
  let size = latents;
  for (let level = 0; level < MAX_LEVELS; level++) {
    if (size[0] * size[1] === pixels) return { level, size };
    size = halved(size);
  }
  throw new Error(
    `attention-alignment: a map has the pixels of the latents, halved some times; got ${pixels} for latents of ${latents.join(' x ')}; give the latents' rows and columns`,
  );
}

export interface MapOptions {
  /** Over the tokens of a tag; default `sum`. */
  subtoken?: 'sum' | 'mean';
  /** Over the heads; default `mean`. */
  heads?: 'mean' | 'sum' | 'max';
  /** These heads alone, by their numbers from 0: `[2]` gives the maps of one head by itself. */
  onlyHeads?: readonly number[];
  levels?: readonly number[];
}

/** Maps of one size, each tag's averaged over the layers of that size. */
export interface LevelMaps {
  readonly level: number;
  readonly size: Size;
  /** [B, L, I], L = rows x columns, I the most tags of a sample; the columns beyond a sample's tags are zero */
  readonly maps: Tensor3D;
}

/** Picks and joins the tokens of each tag. @shape [B, T, I] */
export function tagSelector(
  tags: readonly (readonly TagPositions[])[],
  tokens: number,
  subtoken: 'sum' | 'mean',
): Tensor3D {
  const most = Math.max(1, ...tags.map((each) => each.length));
  const values = new Float32Array(tags.length * tokens * most);
  tags.forEach((each, b) => {
    each.forEach(({ tag, positions }, i) => {
      if (positions.length === 0) {
        throw new Error(`attention-alignment: each tag has a token; got none for "${tag}"; look at the prompt`);
      }
      for (const position of positions) {
        if (!(Number.isInteger(position) && position >= 0 && position < tokens)) {
          throw new Error(
            `attention-alignment: positions are from 0 to ${tokens - 1}; got ${position} for "${tag}"; the prompt was cut, or is another`,
          );
        }
        values[(b * tokens + position) * most + i] += subtoken === 'mean' ? 1 / positions.length : 1;
      }
    });
  });
  return tensor3d(values, [tags.length, tokens, most]);
}

const overHeads = { mean, sum, max };

/** Some heads of a map. @shape [B, N, L, T] -> [B, n, L, T] @throws when the map has no such head */
export function selectHeads(map: Tensor4D, onlyHeads: readonly number[] | undefined): Tensor4D {
  if (onlyHeads === undefined) return map;
  const heads = map.shape[1];
  const wrong = onlyHeads.find((head) => !(Number.isInteger(head) && head >= 0 && head < heads));
  if (wrong !== undefined || onlyHeads.length === 0) {
    throw new Error(
      `attention-alignment: heads are numbered from 0 to ${heads - 1}, and at least one is chosen; got [${onlyHeads}]; layers differ in their heads: choose blocks too`,
    );
  }
  return gather(map, tensor1d([...onlyHeads], 'int32'), 1);
}

/** Shares among the words of the prompt alone: without the start marker, which gets most of the attention, the end marker and the
 * padding. `words`: how many tokens each sample's prompt has between the markers.
 * @shape [B, N, L, T] -> same; rows sum to 1 over the words @source DAAM */
export function amongWords(map: Tensor4D, words: readonly number[]): Tensor4D {
  const [B, , , T] = map.shape;
  const wrong = words.findIndex((count) => !(Number.isInteger(count) && count >= 1 && count < T));
  if (words.length !== B || wrong >= 0) {
    throw new Error(
      `attention-alignment: each of ${B} samples has from 1 to ${T - 1} words; got [${words}]; count the tokens between the markers`,
    );
  }
  const isWord = Float32Array.from({ length: B * T }, (_, i) =>
    i % T >= 1 && i % T <= words[Math.floor(i / T)] ? 1 : 0,
  );
  return tidy(() => {
    const kept = mul(map, tensor4d(isWord, [B, 1, 1, T]));
    return div(kept, add(sum(kept, 3, true), EPSILON)) as Tensor4D;
  });
}

/** @throws when there is no map, or one is of other samples or of a prompt of another length */
export function checkMaps(probabilities: Readonly<Record<string, Tensor4D>>, samples: number): [string, Tensor4D][] {
  const named = Object.entries(probabilities);
  if (named.length === 0) {
    throw new Error('attention-alignment: at least one attention is given; got none; ask unet() for them by name');
  }
  const tokens = named[0][1].shape[3];
  for (const [name, map] of named) {
    if (map.rank === 4 && map.shape[0] === samples && map.shape[3] === tokens) continue;
    throw new Error(
      `attention-alignment: a map is [${samples}, heads, pixels, ${tokens ?? 'tokens'}], for tags of ${samples} samples; got [${map.shape}] for ${name}; give tags for each sample, and attentions of one forward pass`,
    );
  }
  return named;
}

const MAP_OPTIONS_RULES: OptionRules<MapOptions> = {
  subtoken: oneOf('sum', 'mean'),
  heads: anything,
  onlyHeads: listOf(whole(0)),
  levels: listOf(whole(0)),
};

/** Every tag's share of the attention, by size: joined over tokens, heads and the layers of a size. Gradients flow to the
 * probabilities. @shape probabilities [B, N, L, T] each -> maps [B, L, I] by level, the finest first
 * @throws when positions, shapes or levels do not fit @source the RASS paper's Ā; DAAM, Prompt-to-Prompt */
export function tagMaps(
  probabilities: Readonly<Record<string, Tensor4D>>,
  tags: readonly (readonly TagPositions[])[],
  latents: Size,
  options: MapOptions = {},
): LevelMaps[] {
  checkOptions('tagMaps', options, MAP_OPTIONS_RULES);
  const { subtoken = 'sum', heads = 'mean', onlyHeads, levels } = options;
  const named = checkMaps(probabilities, tags.length);
  const groups = groupLevels(named, latents, levels);
  return groups.map(({ level, size, layers }) => ({
    level,
    size,
    maps: tidy(() => {
      const selector_BTI = tagSelector(tags, layers[0].shape[3], subtoken);
      const all = layers.map((map) => {
        const joined_BLT = overHeads[heads](selectHeads(map, onlyHeads), 1) as Tensor3D;
        return matMul(joined_BLT, selector_BTI) as Tensor3D;
      });
      return div(
        all.reduce((a, b) => add(a, b)),
        all.length,
      ) as Tensor3D;
    }),
  }));
}

/** The maps of each size, the finest first. @throws when a level is asked for that has none */
export function groupLevels(
  named: readonly (readonly [string, Tensor4D])[],
  latents: Size,
  levels?: readonly number[],
): { level: number; size: Size; layers: Tensor4D[] }[] {
  const groups = new Map<number, { level: number; size: Size; layers: Tensor4D[] }>();
  for (const [, map] of named) {
    const { level, size } = levelOf(map.shape[2], latents);
    const group = groups.get(level) ?? { level, size, layers: [] };
    group.layers.push(map);
    groups.set(level, group);
  }
  const lost = levels?.find((level) => !groups.has(level));
  if (lost !== undefined) {
    throw new Error(
      `attention-alignment: each level has maps; got level ${lost}, of ${[...groups.keys()].sort().join(', ')}; choose among these, or ask unet() for more attentions`,
    );
  }
  const chosen = [...groups.values()].filter(({ level }) => levels?.includes(level) ?? true);
  return chosen.sort((a, b) => a.level - b.level);
}

export type Normalization = 'tags' | 'max' | 'none' | 'softmax100';

/** How sharply softmax100 tells the tags apart. @source Attention Refocusing, arXiv 2306.05427 */
const SHARPNESS = 100;

/** Maps on a common scale: shares among the tags, shares of the largest value, or a sharp softmax among the tags.
 * `present` is 1 for tags that a sample has. @shape maps [B, L, I], present [B, 1, I] -> [B, L, I] */
export function normalizeMaps(
  { maps, present }: { readonly maps: Tensor3D; readonly present: Tensor3D },
  how: Normalization,
): Tensor3D {
  return tidy(() => {
    if (how === 'none') return maps.clone();
    if (how === 'tags') return div(maps, add(sum(maps, 2, true), EPSILON)) as Tensor3D;
    if (how === 'max') return div(maps, add(max(maps, 1, true), EPSILON)) as Tensor3D;
    const absent = mul(add(present, -1), 1e4);
    return softmax(add(mul(maps, SHARPNESS), absent)) as Tensor3D;
  });
}

/** Every layer's own maps of the tags' tokens, for losses that look at each head and token.
 * @shape layers [B, N, L, T] each, selector [B, T, K] -> [B, N, L, K] */
export function tokenMaps(layer: Tensor4D, selector_BTK: Tensor3D): Tensor4D {
  const [B, N, L, T] = layer.shape;
  return tidy(() => {
    const flat: Tensor = matMul(reshape(layer, [B, N * L, T]), selector_BTK);
    return reshape(flat, [B, N, L, selector_BTK.shape[2]]) as Tensor4D;
  });
}

/** Maps of each head by itself, as further samples. @shape layers [B, N, L, T] each -> [B N x layers, 1, L, T] */
export function headsAsSamples(layers: readonly Tensor4D[]): Tensor4D {
  return tidy(() => {
    const flat = layers.map((map) =>
      expandDims(reshape(map, [map.shape[0] * map.shape[1], map.shape[2], map.shape[3]]), 1),
    );
    return flat.length === 1 ? flat[0] : concat(flat, 0);
  }) as Tensor4D;
}
