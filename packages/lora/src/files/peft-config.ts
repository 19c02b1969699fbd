import { type LoraConfig, type LoraInit, loraConfig } from '../config.ts';

type Json = Readonly<Record<string, unknown>>;

/** Fields that say nothing about how the adapter acts, and stay when it is written again. */
const ABOUT = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'corda_config',
  'eva_config',
  // It turns the weight, not the factors, which are the same either way.
  'fan_in_fan_out',
  'lora_ga_config',
  'revision',
  'task_type',
]);

/** Fields that say nothing, or what a file that is written says by itself. */
const INFORMATIVE = new Set([
  'inference_mode',
  'megatron_core',
  'peft_type',
  'peft_version',
  'qalora_group_size',
  'runtime_config',
]);

/** Fields that are read. Which layers there are the tensors say: what narrows the targets down may stay. */
const READ = new Set([
  'alpha_pattern',
  'bias',
  'exclude_modules',
  'init_lora_weights',
  'layers_pattern',
  'layers_to_transform',
  'lora_alpha',
  'lora_bias',
  'lora_dropout',
  'modules_to_save',
  'r',
  'rank_pattern',
  'target_modules',
  'use_dora',
  'use_rslora',
]);

/** Starts that take something out of the base weights, which a file that was not converted acts on. */
const CHANGES_BASE = /^(pissa|olora|corda|loftq|lora_ga)/;

function isNeutral(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function refuse(where: string, rule: string, got: string, remedy: string): never {
  throw new Error(`${where}: ${rule}; got ${got}; ${remedy}`);
}

function initOf(where: string, value: unknown): LoraInit {
  if (typeof value !== 'string') return 'default';
  if (CHANGES_BASE.test(value)) {
    refuse(
      where,
      'an adapter acts on the original base',
      `init_lora_weights "${value}", which took its start out of the base`,
      'convert it in peft: save_pretrained(..., path_initial_model_for_weight_conversion=...)',
    );
  }
  return value === 'gaussian' || value === 'orthogonal' ? value : 'default';
}

const optional = <T>(value: T | null | undefined, empty: (value: T) => boolean = () => false): T | undefined =>
  value === null || value === undefined || empty(value) ? undefined : value;

const isEmpty = (value: object | string): boolean => Object.keys(value).length === 0;
const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

/** Reads PEFT's adapter_config.json. @throws when it is of another kind of adapter, or uses what is not implemented, by name
 * @source peft 0.21 LoraConfig */
export function parsePeftConfig(json: unknown, where = 'adapter_config.json'): LoraConfig {
  if (typeof json !== 'object' || json === null)
    refuse(where, 'a configuration is an object', JSON.stringify(json), 'look at the file');
  const config = json as Json;
  const { peft_type: type = 'LORA' } = config;
  if (type !== 'LORA' && type !== null)
    refuse(where, 'the adapter is a LoRA', `peft_type "${type}"`, 'convert it in peft');
  const bias = (config.bias ?? 'none') as LoraConfig['bias'];
  const other = Object.keys(config).find(
    (name) => !READ.has(name) && !ABOUT.has(name) && !INFORMATIVE.has(name) && !isNeutral(config[name]),
  );
  if (other !== undefined)
    refuse(where, 'each field in use is implemented', `${other} ${JSON.stringify(config[other])}`, 'leave it out');
  const dropout = optional(config.lora_dropout as number, (rate) => rate === 0);
  const about = Object.entries(config).filter(([name, value]) => ABOUT.has(name) && !isNeutral(value));
  const blocks = optional(config.layers_to_transform as number[] | number, isEmptyList);
  const pattern = optional(config.layers_pattern as string[] | string, isEmpty);
  return loraConfig({
    rank: config.r as number,
    alpha: config.lora_alpha as number,
    targets: (optional(config.target_modules as string[] | string) ?? ['']) as string[],
    exclude: optional(config.exclude_modules as string[] | string, isEmpty),
    rankPattern: optional(config.rank_pattern as Record<string, number>, isEmpty),
    alphaPattern: optional(config.alpha_pattern as Record<string, number>, isEmpty),
    ...(config.use_rslora ? { rsLora: true } : {}),
    ...(config.use_dora ? { dora: true } : {}),
    ...(config.lora_bias ? { loraBias: true } : {}),
    ...(bias === 'none' ? {} : { bias }),
    ...(dropout === undefined ? {} : { dropout }),
    init: initOf(where, config.init_lora_weights),
    modulesToSave: optional(config.modules_to_save as string[], isEmpty),
    ...(blocks === undefined ? {} : { layers: blocks }),
    ...(pattern === undefined ? {} : { layersPattern: pattern }),
    ...(about.length === 0 ? {} : { about: Object.fromEntries(about) }),
  });
}

/** The configuration as PEFT 0.21 writes it. Dropouts that PEFT has not are left out. */
export function toPeftConfig(config: LoraConfig): Json {
  const { init = 'default' } = config;
  return {
    alpha_pattern: config.alphaPattern ?? {},
    bias: config.bias ?? 'none',
    exclude_modules: config.exclude ?? null,
    fan_in_fan_out: false,
    inference_mode: true,
    // What was started from the weight has been converted: it acts on the original base.
    init_lora_weights: init === 'gaussian' || init === 'orthogonal' ? init : true,
    layers_pattern: config.layersPattern ?? null,
    layers_to_transform: config.layers ?? null,
    lora_alpha: config.alpha,
    lora_bias: config.loraBias ?? false,
    lora_dropout: config.dropout ?? 0,
    modules_to_save: config.modulesToSave ?? null,
    peft_type: 'LORA',
    r: config.rank,
    rank_pattern: config.rankPattern ?? {},
    target_modules: config.targets,
    task_type: null,
    use_dora: config.dora ?? false,
    use_rslora: config.rsLora ?? false,
    ...config.about,
  };
}
