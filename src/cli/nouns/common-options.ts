/** Options that several nouns take. */
import { flag, text, texts } from "../options.ts";

export const yes = flag("-y, --yes", "do not ask");
export const description = text("--description <text>", "what it is for");
export const tags = texts("--tag <tag>", "tag; several times for several");
