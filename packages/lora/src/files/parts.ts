/** What a tensor of an adapter's file is to its layer. */
export type Part =
  | 'down'
  | 'up'
  | 'upBias'
  | 'mid'
  | 'embeddingDown'
  | 'embeddingUp'
  | 'alpha'
  | 'magnitude'
  | 'doraScale'
  | 'scalar'
  | 'diff'
  | 'diffBias'
  | 'weight'
  | 'bias'
  | `hada_${'w1_a' | 'w1_b' | 'w2_a' | 'w2_b' | 't1' | 't2'}`
  | `lokr_${'w1' | 'w1_a' | 'w1_b' | 'w2' | 'w2_a' | 'w2_b' | 't2'}`;

/** A key taken apart. */
export interface KeyParts {
  /** The layer, as the file spells it. */
  readonly module: string;
  readonly part: Part;
  /** The adapter, where its name stands in the key. */
  readonly adapter?: string;
}

// `{m}` is the module, `{a}` the adapter's name where the file has one. The first that fits counts.
const SPELLINGS: readonly (readonly [pattern: string, part: Part])[] = [
  ['{m}.lora_A{a}.weight', 'down'],
  ['{m}.lora_B{a}.weight', 'up'],
  ['{m}.lora_B{a}.bias', 'upBias'],
  ['{m}.lora_embedding_A{a}', 'embeddingDown'],
  ['{m}.lora_embedding_B{a}', 'embeddingUp'],
  ['{m}.lora_magnitude_vector{a}.weight', 'magnitude'],
  ['{m}.lora_magnitude_vector{a}', 'magnitude'],
  ['{m}.lora.down.weight', 'down'],
  ['{m}.lora.up.weight', 'up'],
  ['{m}.lora_linear_layer.down.weight', 'down'],
  ['{m}.lora_linear_layer.up.weight', 'up'],
  ['{m}.lora_down.weight', 'down'],
  ['{m}.lora_up.weight', 'up'],
  ['{m}.lora_mid.weight', 'mid'],
  ['{m}.alpha', 'alpha'],
  ['{m}.dora_scale', 'doraScale'],
  ['{m}.scalar', 'scalar'],
  ['{m}.diff_b', 'diffBias'],
  ['{m}.diff', 'diff'],
  ['{m}.w_norm', 'diff'],
  ['{m}.b_norm', 'diffBias'],
  ...(['w1_a', 'w1_b', 'w2_a', 'w2_b', 't1', 't2'] as const).map(
    (name) => [`{m}.hada_${name}`, `hada_${name}`] as const,
  ),
  ...(['w1_a', 'w1_b', 'w2_a', 'w2_b', 'w1', 'w2', 't2'] as const).map(
    (name) => [`{m}.lokr_${name}`, `lokr_${name}`] as const,
  ),
  ['{m}.modules_to_save{a}.weight', 'weight'],
  ['{m}.modules_to_save{a}.bias', 'bias'],
  ['{m}.base_layer.weight', 'weight'],
  ['{m}.base_layer.bias', 'bias'],
  ['{m}.weight', 'weight'],
  ['{m}.bias', 'bias'],
];

const COMPILED = SPELLINGS.map(([pattern, part]) => {
  const source = pattern
    .replaceAll('.', '\\.')
    .replace('{m}', '(?<module>.+)')
    .replace('{a}', '(?:\\.(?<adapter>[^.]+))?');
  return { regex: new RegExp(`^${source}$`), part };
});

// The oldest files keep the factors in the attention's processor: `attn1.processor.to_q_lora.down.weight`.
const PROCESSOR = /^(.+)\.processor\.(to_q|to_k|to_v|to_out)_lora\.(down|up)\.weight$/;

/** Takes a key of an adapter's file apart; undefined where it is none. */
export function keyParts(key: string): KeyParts | undefined {
  const old = PROCESSOR.exec(key);
  if (old !== null) {
    const [, attention, name, part] = old;
    return { module: `${attention}.${name === 'to_out' ? 'to_out.0' : name}`, part: part as 'down' | 'up' };
  }
  for (const { regex, part } of COMPILED) {
    const groups = regex.exec(key)?.groups;
    if (groups !== undefined)
      return { module: groups.module, part, ...(groups.adapter && { adapter: groups.adapter }) };
  }
  return undefined;
}

const FACTOR = /^(down|up|embeddingDown|embeddingUp|(hada|lokr)_.+)$/;

/** Whether a key is of a factor of an adapter, which means something only together with the others. */
export const isFactorKey = (key: string): boolean => FACTOR.test(keyParts(key)?.part ?? '');
