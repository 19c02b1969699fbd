/** Where an adapter's matrices start. `pissa` and `olora` also take what they start with out of the base weight.
 * @source PEFT init_lora_weights */
export type LoraInit = 'default' | 'gaussian' | 'pissa' | 'olora' | 'orthogonal' | { readonly pissaIterations: number };

/** How an adapter is laid over a model; names and defaults are PEFT's. @source peft LoraConfig */
export interface LoraConfig {
  /** Columns of the low-rank product. */
  readonly rank: number;
  /** The product is scaled by alpha / rank. */
  readonly alpha: number;
  /** A list: paths that are an entry or end with `.` and it. A text: a regular expression that the whole path fits.
   * `all-linear`: every linear layer and convolution. */
  readonly targets: readonly string[] | string;
  /** Paths left out, by the same rules. */
  readonly exclude?: readonly string[] | string;
  /** Other ranks by pattern: a regular expression that the path, or the end of it behind a dot, fits. The first that fits counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Scale by alpha / sqrt(rank). @source arXiv 2312.03732 */
  readonly rsLora?: boolean;
  /** Learn the length of each row of the weight apart from its direction. @source arXiv 2402.09353 */
  readonly dora?: boolean;
  /** Share of the inputs that training drops in front of the low-rank product. */
  readonly dropout?: number;
  /** Share of the ranks that a training step drops. @source kohya sd-scripts rank_dropout */
  readonly rankDropout?: number;
  /** Share of the layers whose product a training step leaves out. @source kohya sd-scripts module_dropout */
  readonly moduleDropout?: number;
  readonly init?: LoraInit;
  /** Layers trained whole, by the rules of `targets`: their weights belong to the adapter. A layer may be both. */
  readonly modulesToSave?: readonly string[];
}
