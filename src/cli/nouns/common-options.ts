/** Options that several nouns take. */
import { toRfc3339 } from "../../lib/clock.ts";
import type { Cli } from "../cli.ts";
import { duration, flag, text, texts } from "../options.ts";

export const yes = flag("-y, --yes", "do not ask");
export const description = text("--description <text>", "what it is for");
export const tags = texts("--tag <tag>", "tag; several times for several");

/** Of metrics-history. */
export const historyOption = duration("--last <time>", "only the last of them, for example 5m (default: an hour)");
export const historyQuery = (cli: Cli, lastMs: number | undefined): { since?: string } =>
	lastMs === undefined ? {} : { since: toRfc3339(cli.io.clock.nowMs() - lastMs) };
