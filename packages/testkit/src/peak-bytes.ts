import { engine } from '@tensorflow/tfjs-core';

interface Tracking {
  trackTensor(tensor: { dataId: object; size: number }, backend: unknown): void;
  removeDataId(dataId: object, backend: unknown): void;
  state: { tensorInfo: WeakMap<object, { bytes: number }> };
}

/** Runs `action` and gives the most bytes of tensor data (shared data counted once) that lived at a time, beyond those before it. */
export function peakBytes(action: () => void): number {
  const tracked = engine() as unknown as Tracking;
  const { trackTensor, removeDataId } = tracked;
  let current = 0;
  let peak = 0;
  tracked.trackTensor = (tensor, backend) => {
    const isNew = !tracked.state.tensorInfo.has(tensor.dataId);
    trackTensor.call(tracked, tensor, backend);
    if (isNew) current += tracked.state.tensorInfo.get(tensor.dataId)?.bytes ?? 0;
    peak = Math.max(peak, current);
  };
  tracked.removeDataId = (dataId, backend) => {
    const bytes = tracked.state.tensorInfo.get(dataId)?.bytes ?? 0;
    removeDataId.call(tracked, dataId, backend);
    if (!tracked.state.tensorInfo.has(dataId)) current -= bytes;
  };
  try {
    action();
  } finally {
    tracked.trackTensor = trackTensor;
    tracked.removeDataId = removeDataId;
  }
  return peak;
}
