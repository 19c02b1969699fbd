import { type MaybeRefOrGetter, onScopeDispose, type ShallowRef, shallowRef, toValue, watch } from 'vue';
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

/** A runtime as it comes up, in refs. */
export interface RuntimeRefs {
  readonly status: ShallowRef<'loading' | 'ready' | 'failed'>;
  readonly runtime: ShallowRef<Runtime | undefined>;
  readonly progress: ShallowRef<RuntimeProgress | undefined>;
  readonly error: ShallowRef<Error | undefined>;
}

/** What a photograph is made into, in refs. */
export interface WorkRefs<T> {
  readonly status: ShallowRef<'idle' | 'working' | 'done' | 'failed'>;
  /** The last result, which stays while the next is made. */
  readonly result: ShallowRef<T | undefined>;
  readonly progress: ShallowRef<RuntimeProgress | undefined>;
  readonly error: ShallowRef<Error | undefined>;
}

/** Opens a runtime while the component's scope lives; other options open another. */
export function useRuntime(options: MaybeRefOrGetter<Omit<RuntimeOptions, 'signal' | 'onProgress'>>): RuntimeRefs {
  const refs: RuntimeRefs = {
    status: shallowRef('loading'),
    runtime: shallowRef(),
    progress: shallowRef(),
    error: shallowRef(),
  };
  let end = (): void => undefined;
  const begin = (given: RuntimeOptions): void => {
    end();
    const controller = new AbortController();
    const { signal } = controller;
    let opened: Runtime | undefined;
    refs.status.value = 'loading';
    refs.runtime.value = undefined;
    refs.error.value = undefined;
    end = () => {
      controller.abort();
      void opened?.dispose();
    };
    const onProgress = (progress: RuntimeProgress): void => {
      if (!signal.aborted) refs.progress.value = progress;
    };
    createRuntime({ ...given, signal, onProgress }).then(
      (runtime) => {
        opened = runtime;
        if (signal.aborted) return void runtime.dispose();
        refs.runtime.value = runtime;
        refs.progress.value = undefined;
        refs.status.value = 'ready';
      },
      (error: unknown) => {
        if (signal.aborted) return;
        refs.error.value = errorOf(error);
        refs.status.value = 'failed';
      },
    );
  };
  watch(() => toValue(options), begin, { immediate: true });
  onScopeDispose(() => end());
  return refs;
}

/** Runs work whenever it is another; what is under way is ended then. */
function useWork<T>(workOf: () => Work<T> | undefined): WorkRefs<T> {
  const refs: WorkRefs<T> = {
    status: shallowRef('idle'),
    result: shallowRef(),
    progress: shallowRef(),
    error: shallowRef(),
  };
  watch(
    workOf,
    (work, _, onCleanup) => {
      const controller = new AbortController();
      const { signal } = controller;
      onCleanup(() => controller.abort());
      refs.error.value = undefined;
      refs.progress.value = undefined;
      refs.status.value = work === undefined ? 'idle' : 'working';
      if (work === undefined) {
        refs.result.value = undefined;
        return;
      }
      const onProgress = (progress: RuntimeProgress): void => {
        if (!signal.aborted) refs.progress.value = progress;
      };
      work(signal, onProgress).then(
        (result) => {
          if (signal.aborted) return;
          refs.result.value = result;
          refs.status.value = 'done';
        },
        (error: unknown) => {
          if (signal.aborted) return;
          refs.error.value = errorOf(error);
          refs.status.value = 'failed';
        },
      );
    },
    { immediate: true },
  );
  return refs;
}

/** The photograph restored; again whenever the runtime, the photograph or the options are others. Nothing while one of them is missing. */
export function useRestored(
  runtime: MaybeRefOrGetter<Runtime | undefined>,
  image: MaybeRefOrGetter<ImageSource | undefined>,
  options: MaybeRefOrGetter<RestoredOptions> = {},
): WorkRefs<Picture> {
  return useWork(() => restoringOf(toValue(runtime), toValue(image), toValue(options)));
}

/** The photograph segmented; as useRestored. */
export function useSegmentation(
  runtime: MaybeRefOrGetter<Runtime | undefined>,
  image: MaybeRefOrGetter<ImageSource | undefined>,
  options: MaybeRefOrGetter<SegmentationOptions> = {},
): WorkRefs<Segmentation> {
  return useWork(() => segmentingOf(toValue(runtime), toValue(image), toValue(options)));
}
