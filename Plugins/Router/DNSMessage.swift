#if Router
  /// As much of the Domain Name System's messages as a server of a few addresses needs.
  ///
  /// Source: RFC 1035 §4.1; RFC 2181 for the rest. Names in questions may not be compressed; nothing asks for more than one
  /// question.
  enum DNSMessage {
    private enum ResponseCode: UInt8 {
      case noError = 0
      case formatError = 1
      case noSuchName = 3
      case notImplemented = 4
      case refused = 5
    }
    private static let typeA: UInt16 = 1
    private static let typeAny: UInt16 = 255
    private static let classInternet: UInt16 = 1
    private static let headerBytes = 12
    private static let nameBytesMax = 255

    struct Question: Equatable {
      /// Labels in lower case, without the root.
      var name: [String]
      var type: UInt16
      var recordClass: UInt16
      /// The bytes after the question.
      var end: Int
    }

    /// The answer to a query; nil where it cannot even be refused: no whole header, or itself an answer.
    static func answer(to query: [UInt8], _ names: ClusterNames) -> [UInt8]? {
      guard query.count >= headerBytes, query[2] & 0x80 == 0 else { return nil }
      guard query[2] >> 3 & 0x0F == 0 else { return header(query, .notImplemented, question: nil, answers: 0) }
      guard query[4] == 0, query[5] == 1, let question = question(in: query) else {
        return header(query, .formatError, question: nil, answers: 0)
      }
      let asked = query[headerBytes..<question.end]
      guard question.recordClass == classInternet || question.recordClass == typeAny else {
        return header(query, .refused, question: asked, answers: 0)
      }
      switch names.resolve(question.name) {
      case .notOurs: return header(query, .refused, question: asked, answers: 0)
      case .noSuchName: return header(query, .noSuchName, question: asked, answers: 0)
      case .addresses(let found):
        let given = question.type == typeA || question.type == typeAny ? found : []
        var bytes = header(query, .noError, question: asked, answers: UInt16(given.count))
        for address in given {
          bytes += [0xC0, UInt8(headerBytes), 0, UInt8(typeA), 0, UInt8(classInternet)]
          for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: names.ttlSeconds >> shift)) }
          bytes += [0, UInt8(address.count)] + address
        }
        return bytes
      }
    }

    /// The first question; nil where it is malformed.
    static func question(in query: [UInt8]) -> Question? {
      var at = headerBytes
      var labels: [String] = []
      var total = 0
      while true {
        guard at < query.count else { return nil }
        let length = Int(query[at])
        at += 1
        if length == 0 { break }
        total += length + 1
        guard length < 64, total < nameBytesMax, at + length <= query.count else { return nil }
        labels.append(String(decoding: query[at..<at + length], as: UTF8.self).lowercased())
        at += length
      }
      guard at + 4 <= query.count else { return nil }
      return Question(
        name: labels, type: UInt16(query[at]) << 8 | UInt16(query[at + 1]),
        recordClass: UInt16(query[at + 2]) << 8 | UInt16(query[at + 3]), end: at + 4)
    }

    /// The header of an answer (authoritative; recursion is not offered), and the question where it was understood.
    private static func header(
      _ query: [UInt8], _ code: ResponseCode, question: ArraySlice<UInt8>?, answers: UInt16
    ) -> [UInt8] {
      // QR, the query's opcode, AA, and its RD.
      var bytes = [query[0], query[1], 0x80 | query[2] & 0x78 | 0x04 | query[2] & 0x01, code.rawValue]
      bytes += [0, question == nil ? 0 : 1, UInt8(answers >> 8), UInt8(answers & 0xFF), 0, 0, 0, 0]
      return bytes + (question ?? [])
    }
  }
#endif
