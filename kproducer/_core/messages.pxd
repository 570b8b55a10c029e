from kproducer._core.csrc cimport kp_msg, kp_msg_type, kp_topic

cdef char *copied(str text) except? NULL
cdef kp_msg *new_command(kp_msg_type kind) except NULL
cdef str topic_name(kp_topic *topic)
cdef object event_of(const kp_msg *m)
