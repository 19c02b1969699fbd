import { useEffect, useMemo, useRef, useState } from 'react';
import type { Picture, Segmentation } from './client/results.ts';
import type { Runtime, RuntimeOptions } from './client/runtime.ts';
import type { ImageSource } from './client/sources.ts';
import {
  errorOf,
  type RestoredOptions,
  restoringOf,
  type SegmentationOptions,
  segmentingOf,
  type Work,
} from './client/work.ts';
import { createRuntime } from './create-runtime.ts';
import type { RuntimeProgress } from './protocol/messages.ts';

/** A runtime as it comes up. */
export interface RuntimeState {
  readonly status: 'loading' | 'ready' | 'failed';
  readonly runtime: Runtime | undefined;
  readonly progress: RuntimeProgress | undefined;
  readonly error: Error | undefined;
}

/** What a photograph is made into. */
export interface WorkState<T> {
  readonly status: 'idle' | 'working' | 'done' | 'failed';
  /** The last result, which stays while the next is made. */
  readonly result: T | undefined;
  readonly progress: RuntimeProgress | undefined;
  readonly error: Error | undefined;
}

const LOADING: RuntimeState = { status: 'loading', runtime: undefined, progress: undefined, error: undefined };
const idle = <T>(): WorkState<T> => ({ status: 'idle', result: undefined, progress: undefined, error: undefined });

/** Opens a runtime while a component is there; other options (but for functions) open another. */
export function useRuntime(options: Omit<RuntimeOptions, 'signal' | 'onProgress'>): RuntimeState {
  const [state, setState] = useState(LOADING);
  const latest = useRef(options);
  latest.current = options;
  const { model, device, tasks, store, compile, wasmPaths, worker } = options;
  // JSON has null for a function.
  const key = JSON.stringify([String(model), device, tasks, store, compile, wasmPaths, worker]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key says all that counts
  useEffect(() => {
    const controller = new AbortController();
    let opened: Runtime | undefined;
    setState(LOADING);
    const set = (next: RuntimeState): void => {
      if (!controller.signal.aborted) setState(next);
    };
    createRuntime({
      ...latest.current,
      signal: controller.signal,
      onProgress: (progress) => set({ ...LOADING, progress }),
    }).then(
      (runtime) => {
        opened = runtime;
        if (controller.signal.aborted) void runtime.dispose();
        else set({ status: 'ready', runtime, progress: undefined, error: undefined });
      },
      (error: unknown) => set({ ...LOADING, status: 'failed', error: errorOf(error) }),
    );
    return () => {
      controller.abort();
      void opened?.dispose();
    };
  }, [key]);
  return state;
}

/** Runs work whenever it is another; what is under way is ended then. */
function useWork<T>(work: Work<T> | undefined): WorkState<T> {
  const [state, setState] = useState(idle<T>);
  useEffect(() => {
    if (work === undefined) {
      setState(idle<T>());
      return;
    }
    const controller = new AbortController();
    const set = (change: (before: WorkState<T>) => WorkState<T>): void => {
      if (!controller.signal.aborted) setState(change);
    };
    set(({ result }) => ({ ...idle<T>(), status: 'working', result }));
    work(controller.signal, (progress) => set((before) => ({ ...before, progress }))).then(
      (result) => set(() => ({ ...idle<T>(), status: 'done', result })),
      (error: unknown) => set(({ result }) => ({ ...idle<T>(), status: 'failed', result, error: errorOf(error) })),
    );
    return () => controller.abort();
  }, [work]);
  return state;
}

/** The photograph restored; again whenever the runtime, the photograph or an option is another. Nothing while one of them is missing. */
export function useRestored(
  runtime: Runtime | undefined,
  image: ImageSource | undefined,
  options: RestoredOptions = {},
): WorkState<Picture> {
  const key = JSON.stringify(options);
  const work = useMemo(() => restoringOf(runtime, image, JSON.parse(key) as RestoredOptions), [runtime, image, key]);
  return useWork(work);
}

/** The photograph segmented; as useRestored. */
export function useSegmentation(
  runtime: Runtime | undefined,
  image: ImageSource | undefined,
  options: SegmentationOptions = {},
): WorkState<Segmentation> {
  const key = JSON.stringify(options);
  const work = useMemo(
    () => segmentingOf(runtime, image, JSON.parse(key) as SegmentationOptions),
    [runtime, image, key],
  );
  return useWork(work);
}
