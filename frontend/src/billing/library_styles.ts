/** Entry that makes the library build write its style sheet. */

import "./styles.css";
