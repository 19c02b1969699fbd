/** Where tensors lie in a UNet, or another model of down, mid and up blocks. */
export interface Depth {
  /** The blocks in the order of computing: `down_blocks.0`, ..., `mid_block`, ..., `up_blocks.3`. */
  readonly blocks: readonly string[];
  /** The block of a tensor; undefined outside of them. */
  blockOf(key: string): string | undefined;
  /** 0 for the first block and what comes before, 1 for the last and what comes after, evenly between. */
  positionOf(key: string): number;
}

// diffusers' names, and those of Stable Diffusion's own single files.
const BLOCK = /(?:^|\.)((?:down|input|up|output)_blocks\.\d+|mid_block|middle_block)(?=\.|$)/;
const BEHIND = /(?:^|\.)(conv_norm_out|conv_out|out)\./;

const blockOf = (key: string): string | undefined => BLOCK.exec(key)?.[1];

/** Sorts by the way through the model: down, middle, up, each by number. */
function orderOf(block: string): number {
  const number = Number(/\d+$/.exec(block)?.[0] ?? 0);
  if (/^(down|input)/.test(block)) return number;
  return /^mid/.test(block) ? 1e6 : 2e6 + number;
}

/** The blocks of a model, told by its tensors' names. */
export function depthOf(keys: readonly string[]): Depth {
  const found = new Set(keys.flatMap((key) => blockOf(key) ?? []));
  const blocks = [...found].sort((a, b) => orderOf(a) - orderOf(b));
  const places = new Map(blocks.map((block, i) => [block, blocks.length === 1 ? 0 : i / (blocks.length - 1)]));
  return {
    blocks,
    blockOf,
    positionOf(key) {
      const block = blockOf(key);
      if (block !== undefined) return places.get(block) ?? 0;
      return BEHIND.test(key) ? 1 : 0;
    },
  };
}
