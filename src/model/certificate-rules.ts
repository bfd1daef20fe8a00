/** When the certificate of a node is near its end: it should have been renewed by itself long before. Pure. */
const warningMs = 30 * 86_400_000;

export const endsSoon = (notAfterMs: number, nowMs: number): boolean => notAfterMs - nowMs < warningMs;
