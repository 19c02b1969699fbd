/** Those of cameras and screens have kilobytes, those of presses up to a few megabytes. */
export const MOST_PROFILE = 2 ** 24;

export const brokenProfile = (reason: string): Error =>
  new Error(`a colour profile is whole; got one that is broken (${reason}); save the image without it`);
