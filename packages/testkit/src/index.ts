export { activateBackend, type BackendName, describeOnBackends, provideBackends } from './backends.ts';
export { type ClosenessOptions, expectClose, expectTensorsClose } from './closeness.ts';
export { expectNoLeaksOnFaults, type FaultOptions } from './faults.ts';
export { type Golden, loadGolden } from './golden.ts';
export { type GradientCheckOptions, gradientCheck } from './gradient-check.ts';
export { expectNoLeaks } from './leaks.ts';
export { peakBytes } from './peak-bytes.ts';
export { pythonExecutable, runPython } from './python.ts';
export { type RandomOptions, randomValues, seededRandom } from './random.ts';
