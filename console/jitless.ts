// Stops zod from compiling schemas with `new Function`, which the page's policy forbids. Must be imported before any
// module that creates a schema.
import * as z from "zod";

z.config({ jitless: true });
