import type { WrongShape } from './shapes.ts';

/** What became of each key of an adapter's file. */
export interface AdapterReport {
  readonly file: string;
  readonly format: AdapterFormat;
  /** Keys that are part of an adapter. */
  readonly used: readonly string[];
  /** Keys of another part of the pipeline, such as the text encoder's, by its name. */
  readonly otherComponents: Readonly<Record<string, readonly string[]>>;
  /** Keys that mean nothing here. */
  readonly unused: readonly string[];
  /** Layers that the model does not have, with the most similar that it has. */
  readonly unknown: readonly { layer: string; closest: readonly string[] }[];
  /** Layers of which a part is missing. */
  readonly incomplete: readonly { layer: string; missing: string }[];
  /** Layers that are spelled in two ways, with every key of them. */
  readonly twice: readonly { layer: string; keys: readonly string[] }[];
  /** Where alpha comes from, for layers of which the file itself says none. */
  readonly alpha: AlphaSource;
  /** Layers whose sizes are not the model's; known where `shapes` are given. */
  readonly wrongShape: readonly WrongShape[];
  toString(): string;
}

/** `file`: every layer has its own. `configuration`: PEFT's. `given`: the option. `rank`: as diffusers and kohya mean it, the product is not
 * scaled. `peft`: 8 whatever the rank, PEFT's default, of files that keep a PEFT model's state under the adapters' names. */
export type AlphaSource = 'file' | 'configuration' | 'given' | 'rank' | 'peft';

const ALPHA_TEXT: Readonly<Record<AlphaSource, string | undefined>> = {
  file: undefined,
  configuration: undefined,
  given: 'alpha: none in the file; the one that was given',
  rank: 'alpha: none in the file; the rank, as diffusers and kohya mean it',
  peft: "alpha: none in the file; PEFT's default, 8",
};

export type AdapterFormat = 'peft' | 'diffusers' | 'kohya' | 'rass';

/** A file that fits only in part. `report` has every key. */
export class AdapterFileError extends Error {
  readonly report: AdapterReport;

  constructor(message: string, report: AdapterReport) {
    super(message);
    this.name = 'AdapterFileError';
    this.report = report;
  }
}

const MAX_LISTED = 20;

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  const more = lines.length - MAX_LISTED;
  return [
    `${title} (${lines.length}):`,
    ...lines.slice(0, MAX_LISTED).map((line) => `  ${line}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ];
}

/** A report with its text. */
export function adapterReport(parts: Omit<AdapterReport, 'toString'>): AdapterReport {
  const { file, format, used, otherComponents, unused, unknown, incomplete, twice, wrongShape } = parts;
  const alpha = ALPHA_TEXT[parts.alpha];
  const print = (): string =>
    [
      `${file}: ${format}, ${used.length} keys used`,
      ...(alpha === undefined ? [] : [alpha]),
      ...Object.entries(otherComponents).map(([name, keys]) => `of ${name}: ${keys.length} keys`),
      ...section('unused', unused),
      ...section(
        'unknown layers',
        unknown.map(
          ({ layer, closest }) => `${layer}${closest.length > 0 ? `; did you mean ${closest.join(', ')}?` : ''}`,
        ),
      ),
      ...section(
        'incomplete',
        incomplete.map(({ layer, missing }) => `${layer}: no ${missing}`),
      ),
      ...section(
        'spelled twice',
        twice.map(({ layer, keys }) => `${layer}: ${keys.join(', ')}`),
      ),
      ...section(
        'wrong shape',
        wrongShape.map(
          ({ layer, got, expected }) => `${layer}: [${got.join(', ')}], the model's is [${expected.join(', ')}]`,
        ),
      ),
    ].join('\n');
  return { ...parts, toString: print };
}
