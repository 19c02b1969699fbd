/** Bounds of what a configuration may say, far above all published models: what is beyond them would be looped over or allocated without end. */
export const MOST = {
  /** Layers or blocks in a row. */
  layers: 1000,
  /** Levels of resolution. */
  levels: 16,
  /** Channels, heads, queries, tokens and other sizes of tensors. */
  size: 1_000_000,
  /** Steps of a noise schedule. */
  steps: 100_000,
} as const;
