import { type Checkpoint, parseJson } from '@rass/weights';
import type { LoraConfig } from '../config.ts';
import { keyParts } from './parts.ts';
import { parsePeftConfig } from './peft-config.ts';
import type { AdapterFormat } from './report.ts';

/** Whether a key is of PEFT's own files. */
export const isPrefixed = (key: string): boolean => key.startsWith('base_model.model.');

/** Told by the names of the keys, and by whether PEFT's configuration is there. */
export function formatOf(keys: readonly string[], config: unknown): AdapterFormat {
  if (keys.some((key) => /^(lora_(unet|te\d?)|lycoris)_/.test(key))) return 'kohya';
  const isPeft = config !== undefined || keys.some((key) => isPrefixed(key) || keyParts(key)?.adapter !== undefined);
  return isPeft ? 'peft' : 'diffusers';
}

/** Whether keys have the adapters' names, as the state of a model has them and no file that PEFT or diffusers write. */
export const hasAdapterNames = (keys: readonly string[]): boolean =>
  keys.some((key) => keyParts(key)?.adapter !== undefined) && !keys.some(isPrefixed);

function parseMetadata(file: string, text: string): Readonly<Record<string, unknown>> {
  const [start] = text.trim();
  try {
    if (start === '{') return parseJson(text) as Record<string, unknown>;
  } catch {}
  throw new Error(
    `lora: ${file}: lora_adapter_metadata is a JSON object; got ${text.slice(0, 40)}; the file is damaged`,
  );
}

/** PEFT's configuration: from beside the file, or from diffusers' metadata, where its fields have the component before them. */
export function configOf(
  checkpoint: Checkpoint,
  { config, component = 'unet' }: { config?: unknown; component?: string },
): LoraConfig | undefined {
  if (config !== undefined) return parsePeftConfig(config, `${checkpoint.name}: adapter_config.json`);
  const text = checkpoint.metadata.lora_adapter_metadata;
  if (text === undefined) return undefined;
  const all = Object.entries(parseMetadata(checkpoint.name, text));
  const own = all
    .filter(([name]) => name.startsWith(`${component}.`))
    .map(([name, value]) => [name.slice(component.length + 1), value]);
  const fields = own.length > 0 ? own : all.filter(([name]) => !name.includes('.'));
  return fields.length === 0
    ? undefined
    : parsePeftConfig(Object.fromEntries(fields), `${checkpoint.name}: lora_adapter_metadata`);
}
