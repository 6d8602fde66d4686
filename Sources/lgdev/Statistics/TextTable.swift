// SPDX-License-Identifier: Apache-2.0

/// A table that fits a width: columns that matter least go first, then the first column is cut.
struct TextTable {
  struct Column {
    var title: String
    /// Numbers stand at the right edge.
    var isNumber = true
    /// The least width, so that a live table does not jump.
    var width = 0
    /// 0 stays whatever the width; of the others the highest goes first.
    var rank = 0
  }

  var columns: [Column]
  var rows: [[String]] = []

  /// The lines, the titles' first. - Precondition: each row has a cell for each column.
  func lines(width: Int) -> [String] {
    var shown = Array(columns.indices)
    var widths = columns.indices.map { column in
      rows.reduce(max(columns[column].width, columns[column].title.count)) {
        max($0, $1[column].count)
      }
    }
    func total() -> Int { shown.reduce(shown.count - 1) { $0 + widths[$1] } }
    while total() > width, let last = shown.max(by: { columns[$0].rank < columns[$1].rank }),
      columns[last].rank > 0
    {
      shown.removeAll { $0 == last }
    }
    if let first = shown.first, total() > width {
      widths[first] = max(4, widths[first] - (total() - width))
    }
    return ([columns.map(\.title)] + rows).map { cells in
      let texts = shown.map { padded(cells[$0], widths[$0], isNumber: columns[$0].isNumber) }
      var line = texts.joined(separator: " ")
      while line.last == " " { line.removeLast() }
      return line
    }
  }

  private func padded(_ text: String, _ width: Int, isNumber: Bool) -> String {
    guard text.count <= width else { return String(text.prefix(max(0, width - 1))) + "~" }
    let space = String(repeating: " ", count: width - text.count)
    return isNumber ? space + text : text + space
  }
}
