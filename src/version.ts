/** The version of this program: set by the build, "development" from source. */
declare const LIMIQUANTIX_VERSION: string | undefined;

export const version: string = typeof LIMIQUANTIX_VERSION === "string" ? LIMIQUANTIX_VERSION : "0.1.0-development";
