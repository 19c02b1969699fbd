import { type LoraConfig, rankAndAlpha } from '../config.ts';
import type { AlphaOf } from './layer.ts';
import type { AdapterFormat, AlphaSource } from './report.ts';

/** PEFT's own default, which OSEDiff, PiSA-SR and RASS never set: 8 whatever the rank. */
const PEFT_ALPHA = 8;

/** What a file says of alpha beside its tensors. */
export interface AlphaContext {
  readonly file: string;
  readonly format: AdapterFormat;
  readonly config: LoraConfig | undefined;
  /** Whether keys have the adapters' names, as the state of a PEFT model has them and no file that PEFT or diffusers write. */
  readonly hasNames: boolean;
  /** The user's. */
  readonly alpha: number | undefined;
}

/** What alpha is where a layer has no tensor of it. */
export interface AlphaRule {
  readonly source: Exclude<AlphaSource, 'file'>;
  readonly of: AlphaOf;
}

/** @source peft LoraConfig, whose alpha is 8; diffusers get_peft_kwargs and kohya networks/lora.py, where it is the rank */
export function alphaRule({ file, format, config, hasNames, alpha }: AlphaContext): AlphaRule {
  if (alpha !== undefined && !(Number.isFinite(alpha) && alpha !== 0))
    throw new Error(`lora: ${file}: alpha is a number, not zero; got ${alpha}; give another, or leave it out`);
  if (config !== undefined) return { source: 'configuration', of: (layer) => rankAndAlpha(config, layer).alpha };
  if (alpha !== undefined) return { source: 'given', of: () => alpha };
  if (format === 'rass' || hasNames) return { source: 'peft', of: () => PEFT_ALPHA };
  if (format !== 'peft') return { source: 'rank', of: (_, rank) => rank };
  const of = (): never => {
    throw new Error(
      `lora: ${file}: PEFT keeps alpha in adapter_config.json; got none; open the folder, or give config or alpha`,
    );
  };
  return { source: 'peft', of };
}
