// Keeps zod from compiling its checks with `new Function`, which the page's policy forbids. Imported before anything
// that makes a schema.
import * as z from "zod";

z.config({ jitless: true });
