import { DEGRADATION_PRESETS, type DegradationSettings, parseDegradationConfig } from '@rass/degradation';
import { closest } from '@rass/nn';
import { parsedFile } from '../files.ts';

/** The options of a preset or of a file of Real-ESRGAN's; nothing for `none`. @throws when it is neither */
export async function readDegradation(name: string): Promise<DegradationSettings | undefined> {
  if (name === 'none') return undefined;
  const preset = DEGRADATION_PRESETS[name];
  if (preset !== undefined) return preset;
  if (/\.ya?ml$/i.test(name)) return parsedFile(name, (text) => parseDegradationConfig(text, { name }));
  const known = [...Object.keys(DEGRADATION_PRESETS), 'none'];
  throw new Error(
    `degradation: it is a preset or a .yml file; got "${name}"; closest: ${closest(name, known, 2).join(', ')}`,
  );
}
