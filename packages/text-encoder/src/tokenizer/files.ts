import { parseJson } from '@rass/weights';
import * as v from 'valibot';
import type { AddedToken } from './added-tokens.ts';
import type { Merges } from './pair-table.ts';
import { buildTokenizer, type Tokenizer } from './tokenizer.ts';
import { buildVocabulary, END_TOKEN, listedTokens, START_TOKEN, type Vocabulary } from './vocabulary.ts';

/** The texts of a `tokenizer/` folder's files, by name. Either `tokenizer.json` or the first two are needed. */
export interface TokenizerFiles {
  'vocab.json'?: string;
  'merges.txt'?: string;
  'tokenizer.json'?: string;
  'tokenizer_config.json'?: string;
  'special_tokens_map.json'?: string;
  'added_tokens.json'?: string;
}

/** transformers writes 1e30 where there is no limit. */
const NO_LIMIT = 1e30;
/** Rows are padded to their limit: no text model has more positions. */
const MOST_TOKENS = 65_536;
const isRowLength = (length: number): boolean =>
  length >= NO_LIMIT || (Number.isInteger(length) && length >= 2 && length <= MOST_TOKENS);
/** Ids that a vocabulary may leave out. */
const MOST_GAP = 1024;
/** Roles of special tokens, in the order in which later ones override the flags of earlier ones. */
const ROLES = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'] as const;
type Role = (typeof ROLES)[number];
const DEFAULTS: Partial<Record<Role, string>> = {
  bos_token: START_TOKEN,
  eos_token: END_TOKEN,
  unk_token: END_TOKEN,
  pad_token: END_TOKEN,
};

const MOST_CHARACTERS = 1000;
const spelling = v.pipe(v.string(), v.maxLength(MOST_CHARACTERS));
const tokenSchema = v.looseObject({
  content: spelling,
  lstrip: v.optional(v.boolean(), false),
  rstrip: v.optional(v.boolean(), false),
  single_word: v.optional(v.literal(false), false),
  normalized: v.optional(v.boolean()),
  special: v.optional(v.boolean()),
});
type TokenEntry = v.InferOutput<typeof tokenSchema>;
const namedSchema = v.union([spelling, tokenSchema]);
const side = v.optional(v.picklist(['left', 'right']));
const specialEntries = {
  bos_token: v.optional(namedSchema),
  eos_token: v.optional(namedSchema),
  unk_token: v.optional(namedSchema),
  pad_token: v.optional(namedSchema),
  sep_token: v.nullish(namedSchema),
  cls_token: v.nullish(namedSchema),
  mask_token: v.nullish(namedSchema),
  additional_special_tokens: v.nullish(v.array(namedSchema)),
  extra_special_tokens: v.nullish(v.array(namedSchema)),
};
const specialSchema = v.looseObject(specialEntries);
const configSchema = v.looseObject({
  ...specialEntries,
  added_tokens_decoder: v.optional(v.record(v.string(), tokenSchema)),
  model_max_length: v.optional(v.number()),
  padding_side: side,
  truncation_side: side,
  tokenizer_class: v.nullish(v.picklist(['CLIPTokenizer', 'CLIPTokenizerFast'])),
  // What follows would change the tokens; only the values that do not are taken.
  add_bos_token: v.nullish(v.literal(true)),
  add_eos_token: v.nullish(v.literal(true)),
  split_special_tokens: v.nullish(v.literal(false)),
});
const vocabularySchema = v.record(v.string(), v.pipe(v.number(), v.integer(), v.minValue(0)));
const direction = v.nullish(v.looseObject({ direction: v.optional(v.picklist(['Left', 'Right'])) }));
const marker = v.tuple([v.string(), v.number()]);
const tokenizerSchema = v.looseObject({
  model: v.looseObject({
    vocab: vocabularySchema,
    merges: v.array(v.union([v.string(), v.tuple([v.string(), v.string()])])),
  }),
  added_tokens: v.optional(v.array(v.looseObject({ ...tokenSchema.entries, id: v.number() })), []),
  post_processor: v.nullish(v.looseObject({ type: v.literal('RobertaProcessing'), cls: marker, sep: marker })),
  truncation: direction,
  padding: direction,
});

function parse<S extends v.GenericSchema>(name: string, text: string, schema: S): v.InferOutput<S> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new Error(`tokenizer: ${name} is JSON; got ${(error as Error).message}; give the file's whole text`);
  }
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const at = v.getDotPath(issue) ?? 'the whole';
  throw new Error(
    `tokenizer: ${name}: ${at} is ${issue.expected}; got ${issue.received.slice(0, 100)}; other values are not implemented`,
  );
}

function readMerges(pairs: readonly (readonly [string, string])[], ids: ReadonlyMap<string, number>): Merges {
  const columns = pairs.map(([left, right]) => {
    const row = [left, right, left + right].map((token) => {
      const id = ids.get(token);
      if (id !== undefined) return id;
      throw new Error(
        `tokenizer: merges are of the vocabulary's tokens; "${left} ${right}" needs "${token}"; give files of one model`,
      );
    });
    return row;
  });
  const column = (i: number): Int32Array => Int32Array.from(columns, (row) => row[i]);
  return { left: column(0), right: column(1), made: column(2) };
}

function splitMerge(line: string): [string, string] {
  const parts = line.split(' ');
  if (parts.length === 2) return [parts[0], parts[1]];
  throw new Error(`tokenizer: a merge is two tokens with a space between; got "${line}"; give merges.txt unchanged`);
}

function mergeLines(text: string): [string, string][] {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
  return lines.filter((line) => line !== '' && !line.startsWith('#version')).map(splitMerge);
}

type Config = v.InferOutput<typeof configSchema>;
type TokenizerJson = v.InferOutput<typeof tokenizerSchema>;

/** @throws where numbers lie so far apart that a table of them would be mostly empty */
function vocabularyIds(name: string, ids: Readonly<Record<string, number>>): Map<string, number> {
  const all = Object.entries(ids);
  const most = 2 * all.length + MOST_GAP;
  const far = all.find(([, id]) => id >= most);
  if (far === undefined) return new Map(all);
  throw new Error(
    `tokenizer: ${name}: ids number the tokens from 0 up; got ${far[1]} for "${far[0].slice(0, 60)}" among ${all.length} tokens; give the file unchanged`,
  );
}

function readVocabulary(files: TokenizerFiles, json: TokenizerJson | undefined, unknownToken: string): Vocabulary {
  if (json !== undefined) {
    const ids = vocabularyIds('tokenizer.json', json.model.vocab);
    const pairs = json.model.merges.map((merge) => (typeof merge === 'string' ? splitMerge(merge) : merge));
    return buildVocabulary(listedTokens(ids), readMerges(pairs, ids), unknownToken);
  }
  const { 'vocab.json': vocab, 'merges.txt': merges } = files;
  if (vocab === undefined || merges === undefined) {
    const got = Object.keys(files).join(', ') || 'none';
    throw new Error(
      `tokenizer: files are tokenizer.json, or vocab.json and merges.txt; got ${got}; add what is missing`,
    );
  }
  const ids = vocabularyIds('vocab.json', parse('vocab.json', vocab, vocabularySchema));
  return buildVocabulary(listedTokens(ids), readMerges(mergeLines(merges), ids), unknownToken);
}

/** Tokens that the files list with their ids, by content, in the order of ids. */
function filedTokens(
  files: TokenizerFiles,
  config: Config,
  json: TokenizerJson | undefined,
  specials: ReadonlySet<string>,
): [number, TokenEntry][] {
  const listed = new Map<number, TokenEntry>();
  if (config.added_tokens_decoder !== undefined) {
    for (const [id, token] of Object.entries(config.added_tokens_decoder)) listed.set(Number(id), token);
  } else {
    const own = files['added_tokens.json'];
    const added = own === undefined ? {} : parse('added_tokens.json', own, vocabularySchema);
    for (const [content, id] of Object.entries(added)) {
      const special = specials.has(content);
      const entry = {
        content,
        lstrip: false,
        rstrip: false,
        single_word: false as const,
        normalized: !special,
        special,
      };
      listed.set(id, entry);
    }
    for (const { id, ...token } of json?.added_tokens ?? []) listed.set(id, token as TokenEntry);
  }
  return [...listed].sort(([a], [b]) => a - b);
}

const contentOf = (named: string | TokenEntry): string => (typeof named === 'string' ? named : named.content);

export function addedToken(named: string | TokenEntry, id: number, special: boolean): AddedToken {
  const entry: Partial<TokenEntry> = typeof named === 'string' ? {} : named;
  const isSpecial = special || entry.special === true;
  return {
    id,
    content: contentOf(named),
    normalized: entry.normalized ?? !isSpecial,
    special: isSpecial,
    stripLeft: entry.lstrip ?? false,
    stripRight: entry.rstrip ?? false,
  };
}

/** Gives each added token its id: the vocabulary's, else the next free one. A later one of the same content wins. */
function numberTokens(
  vocabulary: Vocabulary,
  listed: readonly [number, TokenEntry][],
  named: readonly (string | TokenEntry)[],
  specials: ReadonlySet<string>,
): AddedToken[] {
  const added = new Map<string, AddedToken>();
  let next = vocabulary.size;
  const idFor = (content: string): number => added.get(content)?.id ?? vocabulary.idOf(content) ?? next++;
  for (const [id, token] of listed) {
    const own = idFor(token.content);
    if (own !== id) {
      throw new Error(
        `tokenizer: added tokens follow the vocabulary; "${token.content}" is ${id} in the files, and ${own} by its place; ` +
          'give files of one model',
      );
    }
    added.set(token.content, addedToken(token, id, specials.has(token.content)));
  }
  const contents = new Set(added.keys());
  for (const token of named) {
    const content = contentOf(token);
    if (!contents.has(content)) added.set(content, addedToken(token, idFor(content), true));
  }
  return [...added.values()];
}

function refuseUnknown(config: Config): void {
  const known: readonly string[] = ROLES;
  const strange = Object.keys(config).find(
    (key) => key.endsWith('_token') && !known.includes(key) && !/^add_/.test(key),
  );
  if (strange !== undefined) {
    throw new Error(
      `tokenizer: tokenizer_config.json: special tokens are ${ROLES.join(', ')}; got ${strange}; remove it or list it in extra_special_tokens`,
    );
  }
  if ((config.add_bos_token ?? undefined) !== (config.add_eos_token ?? undefined)) {
    throw new Error(
      'tokenizer: tokenizer_config.json: add_bos_token and add_eos_token are both true or both absent; got one; other values are not implemented',
    );
  }
}

/** A tokenizer from the files of a `tokenizer/` folder, those of transformers 4 and of 5.
 * @throws on files that do not fit together, and on a setting that would change tokens and is not implemented
 * @source transformers CLIPTokenizer.from_pretrained */
export function tokenizerFromFiles(files: TokenizerFiles): Tokenizer {
  const config = parse('tokenizer_config.json', files['tokenizer_config.json'] ?? '{}', configSchema);
  refuseUnknown(config);
  const tokenizerText = files['tokenizer.json'];
  const json = tokenizerText === undefined ? undefined : parse('tokenizer.json', tokenizerText, tokenizerSchema);
  // The map is from before the configuration listed added tokens itself.
  const mapText = config.added_tokens_decoder === undefined ? files['special_tokens_map.json'] : undefined;
  const map = parse('special_tokens_map.json', mapText ?? '{}', specialSchema);
  const named = { ...DEFAULTS, ...config, ...map };
  const inRoles = ROLES.flatMap((role) => named[role] ?? []);
  const extra = named.extra_special_tokens ?? named.additional_special_tokens ?? [];
  const specials = new Set([...inRoles, ...extra].map(contentOf));
  const roleToken = (role: 'bos_token' | 'eos_token' | 'unk_token' | 'pad_token'): string =>
    contentOf(named[role] ?? END_TOKEN);
  const vocabulary = readVocabulary(files, json, roleToken('unk_token'));
  const listed = filedTokens(files, config, json, specials);
  const limit = config.model_max_length;
  if (limit !== undefined && !isRowLength(limit)) {
    throw new Error(
      `tokenizer: tokenizer_config.json: model_max_length is a whole number from 2 to ${MOST_TOKENS}, or ${NO_LIMIT} for none; got ${limit}; 77 is CLIP's`,
    );
  }
  const ends = json?.post_processor;
  return buildTokenizer({
    vocabulary,
    added: numberTokens(vocabulary, listed, [...inRoles, ...extra], new Set(inRoles.map(contentOf))),
    startToken: ends?.cls[0] ?? roleToken('bos_token'),
    endToken: ends?.sep[0] ?? roleToken('eos_token'),
    padToken: roleToken('pad_token'),
    maxLength: limit === undefined || limit >= NO_LIMIT ? undefined : limit,
    paddingSide: config.padding_side ?? (json?.padding?.direction === 'Left' ? 'left' : 'right'),
    truncationSide: config.truncation_side ?? (json?.truncation?.direction === 'Left' ? 'left' : 'right'),
  });
}
