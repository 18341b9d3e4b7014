// How cells of our grids are drawn. Text from the database reaches the page as `textContent` only.
(() => {
  "use strict";
})();
