import { anything, checkOptions, finite, flag, listOf, type OptionRules, oneOf, text, whole } from '../options.ts';
import type { SelectOptions, WasmOptions, WebgpuOptions } from './types.ts';

const SELECT_RULES: OptionRules<SelectOptions> = { gradients: flag, webgpu: anything, wasm: anything, cacheDir: text };

const WEBGPU_RULES: OptionRules<WebgpuOptions> = {
  limits: anything,
  powerPreference: oneOf('high-performance', 'low-power'),
  cpuForward: flag,
  fused: flag,
  poolBytes: finite,
  syncReads: flag,
  dawn: listOf(text),
};

const WASM_RULES: OptionRules<WasmOptions> = { paths: anything, threads: whole(1) };

/** @throws naming the option that there is not, of the whole or of a backend */
export function checkSelectOptions(where: string, options: SelectOptions): void {
  checkOptions(where, options, SELECT_RULES);
  checkOptions(`${where}: webgpu`, options.webgpu ?? {}, WEBGPU_RULES);
  checkOptions(`${where}: wasm`, options.wasm ?? {}, WASM_RULES);
}
