/** The checkout that the scripts work on. */
import { join } from "node:path";

export const root = join(import.meta.dir, "..", "..");
